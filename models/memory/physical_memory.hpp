// Physical memory: frames with bytes, behind one TLM-2.0 target socket, and the allocator that hands
// them out. A freed frame is poisoned and is the next one to be handed out again: a translation that
// should be gone is seen to reach somebody else's data at once. A frame that was never handed out in
// this run reads as zeroes, like memory after power-on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tlm_utils/multi_passthrough_target_socket.h>
#include <tlm>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct MemoryConfig {
  std::uint64_t frames = 4096;  // of 4 KiB
  // Nodes (NUMA) of equal size that the frames belong to, in order. Whoever does not ask for one gets the first that
  // has room; distances are not modelled.
  std::uint64_t nodes = 1;
};
const ParameterTable<MemoryConfig>& memory_table();

struct MemoryCosts {
  Time access{80'000};  // one load or store that reaches memory
  Time frame_alloc{120'000};
  Time frame_free{60'000};
  Time clear_page{250'000};
  Time copy_page{400'000};
};
const ParameterTable<MemoryCosts>& memory_cost_table();

// What a frame is used for; names the owner in reports.
// merged: by KSM, one page for many equal ones. offline: taken out of use for good.
enum class FrameUse { free, anonymous, shared, page_table, zero, kernel, merged, offline };
std::string_view frame_use_name(FrameUse use);

inline constexpr std::uint64_t kNoSlot = ~0ULL;

inline constexpr std::uint64_t kHugeFrames = 512;  // of a huge page: 2 MiB

// What Linux keeps in struct page. The frames of a huge page (a folio) are counted together, in the first of them.
struct Frame {
  FrameUse use = FrameUse::free;
  std::uint32_t references = 0;      // page references: mappings and short-term holders; of a folio in its first frame
  std::uint32_t mappings = 0;        // PTEs that map it
  std::uint32_t whole_mappings = 0;  // first frame of a folio: huge entries that map all of it
  std::uint16_t behind = 0;          // how many frames behind the first one of its folio
  bool folio = false;                // one of many that were allocated together, and are freed together
  // Where mappings are to be looked for, in the terms of who allocated it (a private page: its anon_vma, and the offset
  // in it; a merged one: its number among KSM's). Zeroes when it is handed out.
  std::uint64_t mapping = 0;
  std::uint64_t index = 0;
  std::uint64_t slot = kNoSlot;  // of the swap area, while the page is in the swap cache
  bool dirty = false;            // written since it was last the same as in its slot or its file
  bool idle = false;             // marked by idle-page tracking, and not used since
  bool referenced = false;       // reclaim found it used at its last look
  bool young = false;            // used, says idle-page tracking, which took the accessed bits
  bool locked = false;           // somebody takes its content elsewhere, or brings it back
  bool lazy_free = false;        // MADV_FREE: may be thrown away as long as nobody writes it
  bool isolated = false;         // somebody has taken it off reclaim's lists, to move or reclaim it: nobody else may
  bool bad = false;              // goes out of use, instead of back to the allocator, when it is freed
  std::uint64_t allocation = 0;  // ordinal of the allocation that owns it now; 0: never allocated
};

class PhysicalMemory : public sc_core::sc_module {
 public:
  PhysicalMemory(const sc_core::sc_module_name& name, Arbiter& arbiter, MemoryConfig config);
  ~PhysicalMemory() override;

  static constexpr std::uint8_t kPoison = 0xde;  // every byte of a frame that was freed

  // b_transport (no wait: the initiator has announced the step), transport_dbg, get_direct_mem_ptr.
  tlm_utils::multi_passthrough_target_socket<PhysicalMemory, 64> socket;

  MemoryCosts costs;
  // Called as a frame, or a folio with its first frame, goes back to the allocator; at that instant. Empty: nobody.
  std::function<void(Pfn)> when_freed;

  // The points below are announced by a task; code that runs before any task (boot) announces nothing.

  // A frame with one reference, its bytes as they were left (poison, or zeroes if never handed out before).
  // kNoPfn: none is free. `owner` names whom reports blame if somebody else reaches it: "app anon page 3".
  // Last freed, first handed out; then in ascending order. A point. Emits FrameAllocated.
  Pfn allocate(FrameUse use, std::string_view owner);
  // Of that node, or none.
  Pfn allocate_on(unsigned node, FrameUse use, std::string_view owner);
  // 512 aligned frames as one folio, from the end of memory down. Blocks that were freed whole come first; those in
  // which all frames were freed one by one, last. kNoPfn: there is no such block. A point.
  Pfn allocate_huge(FrameUse use, std::string_view owner);
  Pfn allocate_huge_on(unsigned node, FrameUse use, std::string_view owner);
  // References belong to the folio, of which any frame may be given.
  void get(Pfn pfn);  // one more reference; RefcountRevived if the frame is free
  // One reference less; the last one frees the frame. Points when it frees: the count falls (FrameFreed),
  // the bytes are poisoned, the frame goes to the free list. Returns true if it was freed.
  // RefcountUnderflow if it is free already.
  bool put(Pfn pfn);
  // put(), and the frame is never handed out again, whenever its last reference goes.
  void retire(Pfn pfn);
  // The folio's frames become pages of their own, each with one reference. Nobody maps it, the caller has the only
  // reference.
  void split_folio(Pfn pfn);
  // The first frame of its folio, or the frame itself.
  Pfn head(Pfn pfn) const { return {pfn.value - frames_[pfn.value].behind}; }
  std::uint64_t folio_frames(Pfn pfn) const { return frames_[pfn.value].folio ? kHugeFrames : 1; }
  std::uint32_t references(Pfn pfn) const { return frames_[head(pfn).value].references; }
  // Entries that map it, huge ones too.
  std::uint32_t mappings(Pfn pfn) const {
    return frames_[pfn.value].mappings + frames_[head(pfn).value].whole_mappings;
  }
  // Zeroes the frame, or so many; costs clear_page for each.
  void clear(Pfn pfn, std::uint64_t count = 1);
  void copy(Pfn from, Pfn to);  // costs copy_page; a point for the reading and one for the writing

  bool contains(Pfn pfn) const { return pfn.value < config_.frames; }
  unsigned nodes() const { return static_cast<unsigned>(nodes_.size()); }
  unsigned node_of(Pfn pfn) const;
  Frame& frame(Pfn pfn) { return frames_[pfn.value]; }
  const Frame& frame(Pfn pfn) const { return frames_[pfn.value]; }
  // The host address of a frame's bytes: what a DMI grant gives.
  std::uint8_t* bytes(Pfn pfn) { return bytes_ + (pfn.value << kPageShift); }
  std::uint64_t frames() const { return config_.frames; }
  std::uint64_t free_frames() const { return free_count_; }
  // All free, as after power-on. Its cost is proportional to the frames that were used.
  void reset();

 private:
  struct Node {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    std::uint64_t never_used = 0;             // frames from here on were never handed out in this run
    std::uint64_t never_used_end = 0;         // up to here
    std::vector<std::uint64_t> freed;         // stack: last freed on top
    std::vector<std::uint64_t> freed_blocks;  // stack of whole blocks, none of whose frames is in `freed`
    std::uint64_t free_count = 0;
  };

  void point(Time cost, Access access);
  Pfn take_frame(Node& node);
  Pfn take_block(Node& node);
  void push_freed(Node& node, std::uint64_t number);
  Pfn hand_out(Node* node, FrameUse use, std::string_view owner);
  Pfn hand_out_huge(Node* node, FrameUse use, std::string_view owner);
  std::uint64_t bytes_total() const { return config_.frames << kPageShift; }
  void b_transport(int id, tlm::tlm_generic_payload& payload, sc_core::sc_time& delay);
  unsigned transport_dbg(int id, tlm::tlm_generic_payload& payload);
  bool get_direct_mem_ptr(int id, tlm::tlm_generic_payload& payload, tlm::tlm_dmi& dmi);

  Arbiter& arbiter_;
  const MemoryConfig config_;
  std::vector<Frame> frames_;
  std::uint8_t* bytes_ = nullptr;        // one mapping; the host backs only what is touched
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> freed_in_;  // by block: how many of its frames are in the `freed` of its node
  std::uint64_t free_count_ = 0;
  std::uint64_t allocations_ = 0;
};

}  // namespace secmmu
