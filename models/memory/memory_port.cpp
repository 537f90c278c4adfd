#include "models/memory/memory_port.hpp"

namespace secmmu {

MemoryPort::MemoryPort(const sc_core::sc_module_name& name) : sc_module(name), socket("socket") {
  socket.register_invalidate_direct_mem_ptr(this, &MemoryPort::invalidate_direct_mem_ptr);
}

void MemoryPort::prepare(tlm::tlm_command command, PhysAddr address, void* data, unsigned bytes) {
  payload_.set_command(command);
  payload_.set_address(address.value);
  payload_.set_data_ptr(static_cast<unsigned char*>(data));
  payload_.set_data_length(bytes);
  payload_.set_streaming_width(bytes);
  payload_.set_byte_enable_ptr(nullptr);
  payload_.set_dmi_allowed(false);
  payload_.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
}

bool MemoryPort::transport(tlm::tlm_command command, PhysAddr address, void* data, unsigned bytes) {
  ++transactions_;
  prepare(command, address, data, bytes);
  sc_core::sc_time delay;  // modelled time is the caller's step
  socket->b_transport(payload_, delay);
  if (!payload_.is_response_ok()) return false;
  if (payload_.is_dmi_allowed()) request_window(address);
  return true;
}

bool MemoryPort::read(PhysAddr address, void* data, unsigned bytes) {
  if (const std::uint8_t* source = direct(address, bytes); source != nullptr) {
    std::memcpy(data, source, bytes);
    return true;
  }
  if (transport(tlm::TLM_READ_COMMAND, address, data, bytes)) return true;
  std::memset(data, 0xff, bytes);
  return false;
}

bool MemoryPort::write(PhysAddr address, const void* data, unsigned bytes) {
  if (std::uint8_t* target = direct(address, bytes); target != nullptr) {
    std::memcpy(target, data, bytes);
    return true;
  }
  // TLM has one data pointer for both directions; a target does not write to it on a write.
  return transport(tlm::TLM_WRITE_COMMAND, address, const_cast<void*>(data), bytes);
}

bool MemoryPort::read_debug(PhysAddr address, void* data, unsigned bytes) {
  prepare(tlm::TLM_READ_COMMAND, address, data, bytes);
  return socket->transport_dbg(payload_) == bytes;
}

std::uint8_t* MemoryPort::grant(Pfn frame) {
  const PhysAddr address = address_of(frame);
  if (direct(address, kPageSize) == nullptr) request_window(address);
  return direct(address, kPageSize);
}

void MemoryPort::request_window(PhysAddr address) {
  tlm::tlm_dmi dmi;
  prepare(tlm::TLM_READ_COMMAND, address, nullptr, 0);
  if (!socket->get_direct_mem_ptr(payload_, dmi) || !dmi.is_read_write_allowed()) return;
  window_ = dmi.get_dmi_ptr();
  window_start_ = dmi.get_start_address();
  window_bytes_ = dmi.get_end_address() - dmi.get_start_address() + 1;
}

void MemoryPort::invalidate_direct_mem_ptr(sc_dt::uint64 start, sc_dt::uint64 end) {
  if (window_bytes_ == 0 || end < window_start_ || start >= window_start_ + window_bytes_) return;
  window_ = nullptr;
  window_bytes_ = 0;
  if (revoked_) revoked_();
}

}  // namespace secmmu
