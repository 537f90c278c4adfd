// An initiator's way to memory: a TLM-2.0 socket with plain read and write on top. Every bus master (a
// core, its walker, a device) has one of its own. The caller announces the scheduling point; the port
// never waits. An access outside memory is a bus error: it returns false and reads as all ones.
#pragma once

#include <cstdint>

#include <tlm>
#include <tlm_utils/simple_initiator_socket.h>

#include "notifier/substrate/address.hpp"

namespace secmmu {

class MemoryPort : public sc_core::sc_module {
 public:
  explicit MemoryPort(const sc_core::sc_module_name& name);

  tlm_utils::simple_initiator_socket<MemoryPort> socket;

  std::uint64_t read64(PhysAddr address);
  void write64(PhysAddr address, std::uint64_t value);
  bool read(PhysAddr address, void* data, unsigned bytes);
  bool write(PhysAddr address, const void* data, unsigned bytes);
  // Without side effects, for observers.
  bool read_debug(PhysAddr address, void* data, unsigned bytes);
  // A pointer to the frame's bytes (DMI), nullptr if memory grants none. It dies with the translation
  // through which it was used: whoever drops the translation forgets the pointer.
  std::uint8_t* grant(Pfn frame);

 private:
  void invalidate_direct_mem_ptr(sc_dt::uint64 start, sc_dt::uint64 end);
  tlm::tlm_generic_payload payload_;
  std::uint8_t* window_ = nullptr;  // cached DMI region
  std::uint64_t window_start_ = 0;
  std::uint64_t window_end_ = 0;
};

}  // namespace secmmu
