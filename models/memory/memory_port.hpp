// An initiator's way to memory: a TLM-2.0 socket with plain read and write on top. Every bus master (a
// core, its walker, a device) has one of its own. The caller announces the scheduling point; the port
// never waits. The first access is a transaction; where memory answers that it may be reached directly
// (DMI), later ones copy. An access outside memory is a bus error: it returns false and reads as all ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

#include <tlm_utils/simple_initiator_socket.h>
#include <tlm>

#include "notifier/substrate/address.hpp"

namespace secmmu {

class MemoryPort : public sc_core::sc_module {
 public:
  explicit MemoryPort(const sc_core::sc_module_name& name);

  tlm_utils::simple_initiator_socket<MemoryPort, 64> socket;

  std::uint64_t read64(PhysAddr address) {
    std::uint64_t value;
    if (const std::uint8_t* bytes = direct(address, sizeof value); bytes != nullptr) [[likely]]
      std::memcpy(&value, bytes, sizeof value);
    else
      read(address, &value, sizeof value);
    return value;
  }
  void write64(PhysAddr address, std::uint64_t value) {
    if (std::uint8_t* bytes = direct(address, sizeof value); bytes != nullptr) [[likely]]
      std::memcpy(bytes, &value, sizeof value);
    else
      write(address, &value, sizeof value);
  }
  bool read(PhysAddr address, void* data, unsigned bytes);
  bool write(PhysAddr address, const void* data, unsigned bytes);
  // Without side effects, for observers.
  bool read_debug(PhysAddr address, void* data, unsigned bytes);
  // A pointer to the frame's bytes (DMI), nullptr if memory grants none. It dies with the translation
  // through which it was used: whoever drops the translation forgets the pointer.
  std::uint8_t* grant(Pfn frame);
  // Called when memory takes its grants back: the owner forgets every pointer it got from grant().
  void on_revoked(std::function<void()> revoked) { revoked_ = std::move(revoked); }
  // Accesses that were transactions, since elaboration: those that no window covered.
  std::uint64_t transactions() const { return transactions_; }

 private:
  // The bytes at an address if all of them lie in the window, else nullptr.
  std::uint8_t* direct(PhysAddr address, std::uint64_t bytes) const {
    const std::uint64_t offset = address.value - window_start_;
    return offset < window_bytes_ && window_bytes_ - offset >= bytes ? window_ + offset : nullptr;
  }
  void prepare(tlm::tlm_command command, PhysAddr address, void* data, unsigned bytes);
  bool transport(tlm::tlm_command command, PhysAddr address, void* data, unsigned bytes);
  void request_window(PhysAddr address);
  void invalidate_direct_mem_ptr(sc_dt::uint64 start, sc_dt::uint64 end);
  tlm::tlm_generic_payload payload_;
  std::uint8_t* window_ = nullptr;  // what memory granted; empty until the first access
  std::uint64_t window_start_ = 0;
  std::uint64_t window_bytes_ = 0;
  std::function<void()> revoked_;
  std::uint64_t transactions_ = 0;
};

}  // namespace secmmu
