// The oracle's ghost state: what the machine's events say that it is now, and when it became so. It knows
// for each translation in a device or a core whether it is still what the page table says, and from when
// on it should have been gone. What follows from that is for the rules.
//
// The anchors: when is a translation that is stronger than its PTE no longer legal?
//   a device's,  its PTE changed inside an open range for which its start callback returned: at once;
//                its PTE changed inside an open range for which nobody called its start (it has none, or is
//                not in the list): when the next callback that covers the page returned, or the range ended;
//                its PTE changed outside any range: when the next callback that covers the page returned, or
//                the fault or system call that changed it ended;
//   a core's,    when the fault or system call that changed the PTE ended: the kernel must have flushed it;
//   anybody's,   when its frame was freed.
// In between it is 'owed'. A translation that is filled too late is judged at the fill by the same anchors.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/trace/bus.hpp"
#include "sim/oracle/flat_map.hpp"
#include "sim/oracle/names.hpp"

namespace secmmu {

inline constexpr std::uint32_t kNobody = UINT32_MAX;  // no index

// When something happened, and in which task.
struct Moment {
  Time at;
  std::uint64_t number = UINT64_MAX;  // of the event; UINT64_MAX: it has not happened
  unsigned task = 0;
  unsigned in_interrupt = 0;
  bool happened() const { return number != UINT64_MAX; }
};
inline Moment moment_of(const Stamp& stamp) {
  return {stamp.at, stamp.number, stamp.task, static_cast<unsigned>(stamp.in_interrupt)};
}

enum class Breach : std::uint8_t { none, stale_write_permission, stale_mapping, use_after_free };

// Whose lookups find a translation: a device, by its name's number, or a core.
struct Holder {
  std::uint32_t value = 0;
  bool is_core() const { return (value & kCore) != 0; }
  bool operator==(const Holder&) const = default;
  static Holder core(int number) { return {kCore | static_cast<std::uint32_t>(number)}; }
  static Holder device(Names::Id name) { return {name}; }
  static constexpr std::uint32_t kCore = 0x8000'0000;
};

// What every fill looks at, small; what only reports tell is kept beside it.
struct Frame {
  std::uint64_t allocation = 0;
  std::uint32_t translations = kNobody;  // list by Translation::frame_next
  bool touched = false;                  // in the list of what a reset clears
  bool known = false;                    // its allocation was seen
  bool used = false;
};
struct FramePast {
  Names::Id owner = 0;
  Names::Id use = 0;
  Moment allocated;
  Moment freed;  // the last time
};

// A live translation.
struct Translation {
  const Ghost* ghost = nullptr;  // nullptr: this slot is free
  Holder holder;
  std::uint32_t mm = 0;  // id
  std::uint32_t page = kNobody;
  Vpn vpn;
  Pfn pfn;
  std::uint64_t allocation = 0;  // of the frame, when it was filled
  bool writable = false;
  mutable bool reported = false;  // its breach has become a violation
  Breach breach = Breach::none;   // since it became illegal
  std::uint64_t owed_since = 0;   // number of the change for which it is owed; 0: it is not
  std::uint32_t page_next = kNobody, page_previous = kNobody;
  std::uint32_t frame_next = kNobody, frame_previous = kNobody;
  Moment filled;
  Moment broken;
};

// A virtual page of one address space: its PTE as the last event left it.
struct Page {
  Vpn vpn;
  Pfn pfn = kNoPfn;
  std::uint32_t mm = 0;
  std::uint32_t translations = kNobody;  // list by Translation::page_next
  bool writable = false;
  bool retired = false;  // in the ring of empty pages
};
// The last change of a PTE that took something away.
struct Weakening {
  Moment moment;
  Pfn old_pfn = kNoPfn, new_pfn = kNoPfn;
  bool old_writable = false, new_writable = false;
  bool settled = false;        // the fault that made it has ended
  std::uint64_t range_id = 0;  // 0: outside every range
  Names::Id why = 0;
};

// One invalidation, open or lately closed.
struct Range {
  enum class State : std::uint8_t { open, refused, ending, closed };
  struct Call {
    Names::Id device = 0;
    std::uint64_t serial = 0;
    bool held = false;  // start returned ok and no end has begun
    Errno result = Errno::ok;
    Moment begin, end;  // of start, or of the invalidate of an interval
    bool ends_with_range = false;  // an interval: no end callback
  };
  struct Owed {
    std::uint32_t translation;
    std::uint64_t since;
  };
  std::uint64_t id = 0;
  std::uint32_t mm = 0;
  PageRange pages;
  InvalidateEvent event = InvalidateEvent::unmap;
  State state = State::closed;
  unsigned ends = 0;     // how often its end was announced
  Names::Id during = 0;  // name of the system call that opened it
  Moment announced, told, end, ended;
  std::vector<Call> calls;
  std::vector<Owed> owed;

  const Call* call_of(Names::Id device) const {
    for (const Call& call : calls)
      if (call.device == device) return &call;
    return nullptr;
  }
  bool is_open() const { return state == State::open || state == State::ending; }
};

// What one device has of one address space.
struct Attachment {
  struct Callback {
    secmmu::Callback callback = secmmu::Callback::release;
    PageRange pages;
    Moment begin, end;
  };
  Names::Id device = 0;
  std::uint32_t mm = 0;
  std::uint64_t live = 0;  // translations
  bool is_detached = false;
  Moment detached;
  std::vector<Range::Owed> owed;
  // The last callbacks that do not belong to a range's start.
  static constexpr unsigned kRecent = 8;
  Callback recent[kRecent];
  unsigned next_recent = 0;
};

struct Mm {
  std::uint32_t id = 0;
  Names::Id name = 0;
  std::vector<std::uint32_t> open;  // ranges
  std::vector<std::uint32_t> attachments;
  Moment release_begun, released, freed;
};

struct Registration {
  std::uint64_t serial = 0;
  std::uint32_t mm = 0;
  Names::Id device = 0;
  std::int64_t running = 0;  // callbacks
  bool told_start = false;   // it has a start callback: one was seen
  Moment registered, unlinked, unregister_begun, unregistered, freed;
  // The last callback that was entered, and the last that returned.
  Callback last = Callback::release;
  Moment last_begin, last_end;
};

struct TaskState {
  std::vector<std::string_view> locks;  // in the order in which they were taken
  std::vector<Range::Owed> owed;
  PageRange call_pages;
  Names::Id call_name = 0;
  std::uint64_t last_exit = 0;  // number of its last SyscallEnd + 1
};

inline constexpr std::uint32_t kAnyMm = UINT32_MAX;
inline constexpr PageRange kAnyPage{{0}, {UINT64_MAX}};

class Ledger {
 public:
  Ledger();

  void listen(Bus& bus);
  void reset();

  // Told when a translation became illegal, and when one that is illegal goes.
  std::function<void(const Translation&, const Stamp&)> on_broken;
  std::function<void(const Translation&)> on_gone;

  // --- what is ---
  // What is wrong with a translation now; for a use, `write` says which. none: its use would be harmless.
  Breach breach_of(const Translation& translation, bool write) const;
  // The live translation with this ghost word, or nullptr.
  Translation* find(const Ghost* ghost);
  const Frame* frame(Pfn pfn) const;
  const FramePast& past(Pfn pfn) const { return frames_[pfn.value >> kChunkShift]->pasts[pfn.value & kChunkMask]; }
  const Page* page(std::uint32_t mm, Vpn vpn) const;
  const Page& page_of(const Translation& translation) const { return pages_[translation.page]; }
  const Weakening& weakened(const Page& page) const {
    return weakenings_[static_cast<std::size_t>(&page - pages_.data())];
  }
  const Range* range(std::uint64_t id) const;
  const Range& range_at(std::uint32_t index) const { return ranges_[index]; }
  const Mm* mm(std::uint32_t id) const;
  const std::vector<Mm>& mms() const { return mms_; }  // in order of appearance
  const Attachment* attachment(Names::Id device, std::uint32_t mm) const;
  const Registration* registration(std::uint64_t serial) const;
  const std::vector<Registration>& registrations() const { return registrations_; }  // in order of appearance
  const std::vector<Translation>& translations() const { return translations_; }     // free slots too
  const std::vector<TaskState>& tasks() const { return tasks_; }
  Names& names() { return names_; }
  const std::string& text(Names::Id name) const { return names_.text(name); }
  std::string text(Holder holder) const;
  std::string mm_text(std::uint32_t id) const;

  // Every count and list anew from the translations alone, compared with what was kept step by step.
  std::vector<std::string> audit() const;
  // What is, as text in a fixed order: for tests that compare it with another way of keeping it.
  std::vector<std::string> snapshot() const;

 private:
  template <class E>
  void on(Bus& bus, void (Ledger::*handle)(const E&, const Stamp&));

  void allocated(const FrameAllocated& e, const Stamp& stamp);
  void freed(const FrameFreed& e, const Stamp& stamp);
  void device_filled(const DeviceFill& e, const Stamp& stamp);
  void device_dropped(const DeviceDrop& e, const Stamp& stamp);
  void cpu_filled(const CpuTlbFill& e, const Stamp& stamp);
  void cpu_dropped(const CpuTlbDrop& e, const Stamp& stamp);
  void pte_changed(const PteChanged& e, const Stamp& stamp);
  void page_changed(const PteChanged& e, const Stamp& stamp);  // of one page of it
  void range_announced(const InvalidateStart& e, const Stamp& stamp);
  void range_told(const InvalidateStarted& e, const Stamp& stamp);
  void range_ending(const InvalidateEnd& e, const Stamp& stamp);
  void range_ended(const InvalidateEnded& e, const Stamp& stamp);
  void callback_begun(const CallbackBegin& e, const Stamp& stamp);
  void callback_ended(const CallbackEnd& e, const Stamp& stamp);
  void registered(const Registered& e, const Stamp& stamp);
  void unlinked(const Unlinked& e, const Stamp& stamp);
  void unregister_begun(const UnregisterBegin& e, const Stamp& stamp);
  void unregistered(const UnregisterEnd& e, const Stamp& stamp);
  void subscription_freed(const SubscriptionFreed& e, const Stamp& stamp);
  void interval_inserted(const IntervalInserted& e, const Stamp& stamp);
  void interval_removed(const IntervalRemoved& e, const Stamp& stamp);
  void mm_created(const MmCreated& e, const Stamp& stamp);
  void release_begun(const MmReleaseBegin& e, const Stamp& stamp);
  void released(const MmReleaseEnd& e, const Stamp& stamp);
  void mm_freed(const MmFreed& e, const Stamp& stamp);
  void detached(const DeviceDetached& e, const Stamp& stamp);
  void syscall_begun(const SyscallBegin& e, const Stamp& stamp);
  void syscall_ended(const SyscallEnd& e, const Stamp& stamp);
  void fault_handled(const FaultHandled& e, const Stamp& stamp);
  void lock_taken(const LockAcquired& e, const Stamp& stamp);
  void lock_given_back(const LockReleased& e, const Stamp& stamp);

  Frame& make_frame(Pfn pfn);
  std::uint32_t make_page(std::uint32_t mm, Vpn vpn);
  void retire_if_empty(std::uint32_t page);
  FramePast& make_past(Pfn pfn) { return frames_[pfn.value >> kChunkShift]->pasts[pfn.value & kChunkMask]; }
  Mm& make_mm(std::uint32_t id, std::string_view name);
  Attachment& make_attachment(Names::Id device, std::uint32_t mm, std::string_view mm_name);
  Registration& make_registration(std::uint64_t serial, std::uint32_t mm, std::string_view device);
  TaskState& task(unsigned id);

  std::uint32_t fill(Holder holder, std::uint32_t mm, Vpn vpn, Pfn pfn, bool writable, const Ghost* ghost,
                     const Stamp& stamp);
  void drop(const Ghost* ghost);
  void judge_fill(std::uint32_t index, const Stamp& stamp);
  bool within(const Translation& translation, const Page& page) const {
    return page.pfn == translation.pfn && (page.writable || !translation.writable);
  }
  bool frame_is_gone(const Translation& translation) const;
  const Range* covering(const Mm& mm, Vpn vpn, unsigned task) const;
  bool told(const Mm& mm, Vpn vpn, Names::Id device) const;
  bool called_since(const Attachment& attachment, Vpn vpn, std::uint64_t number) const;
  void settle(std::vector<Range::Owed>& owed, std::uint32_t mm, PageRange pages, const Stamp& stamp);
  void owe(std::vector<Range::Owed>& list, std::uint32_t index);
  void break_legality(Translation& translation, Breach breach, const Stamp& stamp);
  void close(std::uint32_t range);

  static std::uint64_t page_key(std::uint32_t mm, Vpn vpn) {
    return (static_cast<std::uint64_t>(mm) << 36) ^ vpn.value;  // 47 - 12 bits of page number
  }
  static std::uint64_t ghost_key(const Ghost* ghost) { return reinterpret_cast<std::uintptr_t>(ghost); }

  Names names_;

  // Frames by number, in chunks, because nodes of memory may lie far apart.
  static constexpr unsigned kChunkShift = 9;
  static constexpr std::uint64_t kChunkMask = (1ULL << kChunkShift) - 1;
  struct Chunk {
    std::array<Frame, kChunkMask + 1> frames;
    std::array<FramePast, kChunkMask + 1> pasts;
  };
  std::vector<std::unique_ptr<Chunk>> frames_;
  std::vector<Pfn> touched_frames_;

  std::vector<Translation> translations_;
  std::vector<std::uint32_t> free_translations_;
  FlatMap by_ghost_;

  std::vector<Page> pages_;
  std::vector<Weakening> weakenings_;  // by the same index
  std::vector<std::uint32_t> free_pages_;
  FlatMap by_page_;
  // Pages that are not mapped and have no translation: kept for a while, because a late fill asks for
  // their past, and forgotten in order.
  static constexpr std::size_t kEmptyPages = 4096;
  std::vector<std::uint32_t> empty_pages_;
  std::size_t oldest_empty_ = 0;

  std::vector<Range> ranges_;
  std::vector<std::uint32_t> free_ranges_;
  static constexpr std::size_t kClosedRanges = 1024;  // remembered, for stories
  std::vector<std::uint32_t> closed_ranges_;
  std::size_t oldest_closed_ = 0;
  FlatMap by_range_;

  std::vector<Mm> mms_;
  FlatMap by_mm_;
  std::vector<Attachment> attachments_;
  std::vector<Registration> registrations_;
  FlatMap by_serial_;
  std::vector<TaskState> tasks_;
};

}  // namespace secmmu
