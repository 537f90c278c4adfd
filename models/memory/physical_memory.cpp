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
  static const ParameterTable<MemoryConfig> table =
      ParameterTable<MemoryConfig>("memory")
          .integer("frames", &MemoryConfig::frames, 16, 1ULL << 22, "Frames of 4 KiB that the machine has.",
                   "16 MiB: more than any example needs, and few enough to run out of")
          .integer("nodes", &MemoryConfig::nodes, 1, 8,
                   "Memory nodes (NUMA) of equal size among which the frames are divided; pages come from the first "
                   "that has room, and move by move_pages.",
                   "most machines have one");
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
    case FrameUse::merged:
      return "merged";
    case FrameUse::offline:
      return "offline";
  }
  return "free";
}

PhysicalMemory::PhysicalMemory(const sc_core::sc_module_name& name, Arbiter& arbiter, MemoryConfig config)
    : sc_module(name),
      socket("socket"),
      arbiter_(arbiter),
      config_(config),
      frames_(config.frames),
      nodes_(config.nodes) {
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

void PhysicalMemory::push_freed(Node& node, std::uint64_t number) {
  node.freed.push_back(number);
  ++freed_in_[number / kHugeFrames];
}

unsigned PhysicalMemory::node_of(Pfn pfn) const {
  unsigned node = 0;
  while (pfn.value >= nodes_[node].end) ++node;
  return node;
}

// Whole blocks are broken last.
Pfn PhysicalMemory::take_frame(Node& node) {
  if (node.freed.empty() && node.never_used < node.never_used_end) return {node.never_used++};
  if (node.freed.empty()) {
    const std::uint64_t block = node.freed_blocks.back();
    node.freed_blocks.pop_back();
    for (std::uint64_t i = kHugeFrames; i-- > 0;) push_freed(node, block + i);
  }
  const std::uint64_t number = node.freed.back();
  node.freed.pop_back();
  --freed_in_[number / kHugeFrames];
  return {number};
}

Pfn PhysicalMemory::take_block(Node& node) {
  if (!node.freed_blocks.empty()) {
    const std::uint64_t block = node.freed_blocks.back();
    node.freed_blocks.pop_back();
    return {block};
  }
  const std::uint64_t end = node.never_used_end / kHugeFrames * kHugeFrames;
  if (end >= node.never_used + kHugeFrames) {
    for (std::uint64_t number = node.never_used_end; number-- > end;) push_freed(node, number);  // once: the odd end
    node.never_used_end = end - kHugeFrames;
    return {node.never_used_end};
  }
  // A block on a border of nodes is never whole in one of them.
  const auto first = freed_in_.begin() + static_cast<std::ptrdiff_t>((node.first + kHugeFrames - 1) / kHugeFrames);
  const auto last = freed_in_.begin() + static_cast<std::ptrdiff_t>(node.end / kHugeFrames);
  const auto whole = first < last ? std::find(first, last, kHugeFrames) : last;
  if (first >= last || whole == last) return kNoPfn;
  const auto block = static_cast<std::uint64_t>(whole - freed_in_.begin()) * kHugeFrames;
  std::erase_if(node.freed, [block](std::uint64_t number) { return number - block < kHugeFrames; });
  *whole = 0;
  return {block};
}

Pfn PhysicalMemory::hand_out(Node* node, FrameUse use, std::string_view owner) {
  point(costs.frame_alloc, writes(ObjectKind::allocator));
  const auto has_room = [](const Node& one) { return one.free_count != 0; };
  if (node == nullptr) {
    const auto found = std::find_if(nodes_.begin(), nodes_.end(), has_room);
    if (found != nodes_.end()) node = &*found;
  }
  if (node == nullptr || !has_room(*node)) return kNoPfn;
  const Pfn pfn = take_frame(*node);
  --node->free_count;
  --free_count_;
  frames_[pfn.value] = {.use = use, .references = 1, .allocation = ++allocations_};
  arbiter_.bus().emit(FrameAllocated{pfn, allocations_, frame_use_name(use), owner, free_count_});
  return pfn;
}

Pfn PhysicalMemory::hand_out_huge(Node* wanted, FrameUse use, std::string_view owner) {
  point(costs.frame_alloc, writes(ObjectKind::allocator));
  Pfn first = kNoPfn;
  for (Node& node : nodes_) {
    if ((wanted != nullptr && wanted != &node) || node.free_count < kHugeFrames) continue;
    first = take_block(node);
    if (first == kNoPfn) continue;
    node.free_count -= kHugeFrames;
    break;
  }
  if (first == kNoPfn) return kNoPfn;
  free_count_ -= kHugeFrames;
  ++allocations_;
  for (std::uint16_t i = 0; i < kHugeFrames; ++i)
    frames_[first.value + i] = {.use = use, .behind = i, .folio = true, .allocation = allocations_};
  frames_[first.value].references = 1;
  arbiter_.bus().emit(FrameAllocated{first, allocations_, frame_use_name(use), owner, free_count_, kHugeFrames});
  return first;
}

Pfn PhysicalMemory::allocate(FrameUse use, std::string_view owner) { return hand_out(nullptr, use, owner); }
Pfn PhysicalMemory::allocate_on(unsigned node, FrameUse use, std::string_view owner) {
  return hand_out(&nodes_[node], use, owner);
}
Pfn PhysicalMemory::allocate_huge(FrameUse use, std::string_view owner) { return hand_out_huge(nullptr, use, owner); }
Pfn PhysicalMemory::allocate_huge_on(unsigned node, FrameUse use, std::string_view owner) {
  return hand_out_huge(&nodes_[node], use, owner);
}

void PhysicalMemory::get(Pfn pfn) {
  assert(contains(pfn));
  Frame& frame = frames_[head(pfn).value];
  if (frame.references == 0) {
    arbiter_.bus().emit(RefcountRevived{fmt::format("frame {:#x}", pfn.value)});
    return;  // the allocator has it, or will
  }
  ++frame.references;
}

bool PhysicalMemory::put(Pfn pfn) {
  assert(contains(pfn));
  const Pfn first = head(pfn);
  const std::uint64_t count = folio_frames(pfn);
  Frame& frame = frames_[first.value];
  if (frame.references == 1) point(costs.frame_free, writes(ObjectKind::frame_state, 0, first.value));
  if (frame.references == 0) {
    arbiter_.bus().emit(RefcountUnderflow{fmt::format("frame {:#x}", pfn.value)});
    return false;
  }
  if (--frame.references != 0) return false;
  const bool bad = frame.bad;  // a single frame
  const std::uint64_t more = bad ? 0 : count;
  arbiter_.bus().emit(FrameFreed{first, frame.allocation, frame_use_name(frame.use), free_count_ + more, count});
  if (when_freed) when_freed(first);
  for (std::uint64_t number = first.value; number < first.value + count; ++number)
    frames_[number] = {.allocation = frames_[number].allocation};
  point({}, writes(ObjectKind::frame_bytes, 0, first.value));
  std::memset(bytes(first), kPoison, count << kPageShift);
  if (bad) {
    frame.use = FrameUse::offline;
    return true;
  }
  point({}, writes(ObjectKind::allocator));
  Node& node = nodes_[node_of(first)];
  if (count == 1)
    push_freed(node, first.value);
  else
    node.freed_blocks.push_back(first.value);
  node.free_count += count;
  free_count_ += count;
  return true;
}

void PhysicalMemory::retire(Pfn pfn) {
  assert(!frames_[pfn.value].folio);
  frames_[pfn.value].bad = true;
  put(pfn);
}

void PhysicalMemory::split_folio(Pfn pfn) {
  const Pfn first = head(pfn);
  assert(references(first) == 1 && mappings(first) == 0);
  for (std::uint64_t i = 0; i < kHugeFrames; ++i) {
    Frame& frame = frames_[first.value + i];
    frame.references = 1;
    frame.behind = 0;
    frame.folio = false;
  }
}

void PhysicalMemory::clear(Pfn pfn, std::uint64_t count) {
  assert(contains(pfn));
  point(costs.clear_page * count, writes(ObjectKind::frame_bytes, 0, pfn.value));
  std::memset(bytes(pfn), 0, count << kPageShift);
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
  std::uint64_t first = 0;
  std::uint64_t share = config_.frames / nodes_.size();
  if (share > kHugeFrames) share -= share % kHugeFrames;  // no block of 2 MiB lies in two nodes
  for (Node& node : nodes_) {
    const bool last = &node == &nodes_.back();
    std::memset(bytes({node.first}), 0, (node.never_used - node.first) << kPageShift);
    // A stray store may have reached a frame that was never handed out. The host drops what it backs there, and
    // that is little or nothing.
    if (node.never_used < node.end)
      madvise(bytes({node.never_used}), (node.end - node.never_used) << kPageShift, MADV_DONTNEED);
    const auto frame = [this](std::uint64_t number) { return frames_.begin() + static_cast<std::ptrdiff_t>(number); };
    std::fill(frame(node.first), frame(node.never_used), Frame{});
    std::fill(frame(node.never_used_end), frame(node.end), Frame{});
    node.first = node.never_used = first;
    node.end = node.never_used_end = last ? config_.frames : first + share;
    node.freed.clear();
    node.freed_blocks.clear();
    node.free_count = node.end - node.first;
    first = node.end;
  }
  freed_in_.assign((config_.frames + kHugeFrames - 1) / kHugeFrames, 0);
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
