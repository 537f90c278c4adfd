#include "models/memory/physical_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "models/memory/events.hpp"
#include "notifier/substrate/sync/events.hpp"

namespace secmmu {

const ParameterTable<MemoryConfig>& memory_table() {
  static const ParameterTable<MemoryConfig> table = ParameterTable<MemoryConfig>("memory").integer(
      "frames", &MemoryConfig::frames, 16, 1ULL << 22, "Frames of 4 KiB that the machine has.",
      "16 MiB: more than any example needs, and few enough to run out of");
  return table;
}

const ParameterTable<MemoryCosts>& memory_cost_table() {
  static const char* kBandwidth = "one core's memory bandwidth of 10 to 16 GB/s on x86-64 servers";
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<MemoryCosts> table =
      ParameterTable<MemoryCosts>("cost")
          .duration("memory_access", &MemoryCosts::access, "One load or store that reaches memory.",
                    "idle latency of local DRAM on x86-64 servers, 70 to 100 ns")
          .duration("frame_alloc", &MemoryCosts::frame_alloc, "Taking a frame from the allocator.", kOrder)
          .duration("frame_free", &MemoryCosts::frame_free, "Giving a frame back to the allocator.", kOrder)
          .duration("clear_page", &MemoryCosts::clear_page, "Zeroing a frame.", kBandwidth)
          .duration("copy_page", &MemoryCosts::copy_page, "Copying a frame.", kBandwidth);
  return table;
}

std::string_view frame_use_name(FrameUse use) {
  switch (use) {
    case FrameUse::free:
      return "free";
    case FrameUse::anonymous:
      return "anonymous";
    case FrameUse::shared:
      return "shared";
    case FrameUse::page_table:
      return "page_table";
    case FrameUse::zero:
      return "zero";
    case FrameUse::kernel:
      return "kernel";
  }
  return "free";
}

PhysicalMemory::PhysicalMemory(const sc_core::sc_module_name& name, Arbiter& arbiter, MemoryConfig config)
    : sc_module(name), socket("socket"), arbiter_(arbiter), config_(config), frames_(config.frames) {
  void* mapping =
      mmap(nullptr, bytes_total(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mapping of simulated memory");
  bytes_ = static_cast<std::uint8_t*>(mapping);
  // A small machine that is reset often must not pay for clearing 2 MiB at its first touch.
  madvise(mapping, bytes_total(), MADV_NOHUGEPAGE);
  socket.register_b_transport(this, &PhysicalMemory::b_transport);
  socket.register_transport_dbg(this, &PhysicalMemory::transport_dbg);
  socket.register_get_direct_mem_ptr(this, &PhysicalMemory::get_direct_mem_ptr);
  reset();
}

PhysicalMemory::~PhysicalMemory() { munmap(bytes_, bytes_total()); }

void PhysicalMemory::point(Time cost, Access access) {
  if (arbiter_.in_task()) arbiter_.step(cost, access);
}

// --- the allocator -------------------------------------------------------------------------------

Pfn PhysicalMemory::allocate(FrameUse use, std::string_view owner) {
  point(costs.frame_alloc, writes(ObjectKind::allocator));
  if (free_count_ == 0) return kNoPfn;
  Pfn pfn;
  if (!freed_.empty()) {
    pfn = {freed_.back()};
    freed_.pop_back();
  } else {
    pfn = {never_used_++};
  }
  --free_count_;
  frames_[pfn.value] = {.use = use, .references = 1, .allocation = ++allocations_};
  arbiter_.bus().emit(FrameAllocated{pfn, allocations_, frame_use_name(use), owner, free_count_});
  return pfn;
}

void PhysicalMemory::get(Pfn pfn) {
  assert(contains(pfn));
  Frame& frame = frames_[pfn.value];
  if (frame.references == 0) {
    arbiter_.bus().emit(RefcountRevived{fmt::format("frame {:#x}", pfn.value)});
    return;  // the allocator has it, or will
  }
  ++frame.references;
}

bool PhysicalMemory::put(Pfn pfn) {
  assert(contains(pfn));
  Frame& frame = frames_[pfn.value];
  if (frame.references == 1) point(costs.frame_free, writes(ObjectKind::frame_state, 0, pfn.value));
  if (frame.references == 0) {
    arbiter_.bus().emit(RefcountUnderflow{fmt::format("frame {:#x}", pfn.value)});
    return false;
  }
  if (--frame.references != 0) return false;
  arbiter_.bus().emit(FrameFreed{pfn, frame.allocation, frame_use_name(frame.use), free_count_ + 1});
  frame.use = FrameUse::free;
  frame.mappings = 0;
  point({}, writes(ObjectKind::frame_bytes, 0, pfn.value));
  std::memset(bytes(pfn), kPoison, kPageSize);
  point({}, writes(ObjectKind::allocator));
  freed_.push_back(pfn.value);
  ++free_count_;
  return true;
}

void PhysicalMemory::clear(Pfn pfn) {
  assert(contains(pfn));
  point(costs.clear_page, writes(ObjectKind::frame_bytes, 0, pfn.value));
  std::memset(bytes(pfn), 0, kPageSize);
}

void PhysicalMemory::copy(Pfn from, Pfn to) {
  assert(contains(from) && contains(to));
  std::array<std::uint8_t, kPageSize> data;
  point(costs.copy_page, reads(ObjectKind::frame_bytes, 0, from.value));
  std::memcpy(data.data(), bytes(from), kPageSize);
  point({}, writes(ObjectKind::frame_bytes, 0, to.value));
  std::memcpy(bytes(to), data.data(), kPageSize);
}

void PhysicalMemory::reset() {
  std::memset(bytes_, 0, never_used_ << kPageShift);
  // A stray store may have reached a frame that was never handed out. The host drops what it backs there, and
  // that is little or nothing.
  if (never_used_ < config_.frames)
    madvise(bytes({never_used_}), (config_.frames - never_used_) << kPageShift, MADV_DONTNEED);
  std::fill_n(frames_.begin(), never_used_, Frame{});
  freed_.clear();
  never_used_ = 0;
  free_count_ = config_.frames;
  allocations_ = 0;
}

// --- TLM-2.0 -------------------------------------------------------------------------------------

void PhysicalMemory::b_transport(int, tlm::tlm_generic_payload& payload, sc_core::sc_time&) {
  const std::uint64_t start = payload.get_address();
  const std::uint64_t length = payload.get_data_length();
  if (start >= bytes_total() || bytes_total() - start < length) {
    payload.set_response_status(tlm::TLM_ADDRESS_ERROR_RESPONSE);
    return;
  }
  if (payload.get_byte_enable_ptr() != nullptr) {
    payload.set_response_status(tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE);
    return;
  }
  if (length == 0 || payload.get_streaming_width() < length) {
    payload.set_response_status(tlm::TLM_BURST_ERROR_RESPONSE);
    return;
  }
  if (payload.is_read()) std::memcpy(payload.get_data_ptr(), bytes_ + start, length);
  if (payload.is_write()) std::memcpy(bytes_ + start, payload.get_data_ptr(), length);
  payload.set_dmi_allowed(true);
  payload.set_response_status(tlm::TLM_OK_RESPONSE);
}

unsigned PhysicalMemory::transport_dbg(int, tlm::tlm_generic_payload& payload) {
  const std::uint64_t start = payload.get_address();
  if (start >= bytes_total()) return 0;
  const std::uint64_t length = std::min<std::uint64_t>(payload.get_data_length(), bytes_total() - start);
  if (payload.is_read()) std::memcpy(payload.get_data_ptr(), bytes_ + start, length);
  if (payload.is_write()) std::memcpy(bytes_ + start, payload.get_data_ptr(), length);
  return static_cast<unsigned>(length);
}

bool PhysicalMemory::get_direct_mem_ptr(int, tlm::tlm_generic_payload& payload, tlm::tlm_dmi& dmi) {
  dmi.init();
  if (payload.get_address() >= bytes_total()) {
    // The range of which no address is ours.
    dmi.set_start_address(bytes_total());
    dmi.set_end_address(UINT64_MAX);
    return false;
  }
  dmi.set_dmi_ptr(bytes_);
  dmi.set_start_address(0);
  dmi.set_end_address(bytes_total() - 1);
  dmi.allow_read_write();
  return true;
}

}  // namespace secmmu
