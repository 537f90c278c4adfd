#include "sim/oracle/ledger.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace secmmu {

Ledger::Ledger() { reset(); }

template <class E>
void Ledger::on(Bus& bus, void (Ledger::*handle)(const E&, const Stamp&)) {
  bus.listen<E>([this, handle](const E& event, const Stamp& stamp) { (this->*handle)(event, stamp); });
}

void Ledger::listen(Bus& bus) {
  on(bus, &Ledger::allocated);
  on(bus, &Ledger::freed);
  on(bus, &Ledger::device_filled);
  on(bus, &Ledger::device_dropped);
  on(bus, &Ledger::cpu_filled);
  on(bus, &Ledger::cpu_dropped);
  on(bus, &Ledger::pte_changed);
  on(bus, &Ledger::range_announced);
  on(bus, &Ledger::range_told);
  on(bus, &Ledger::range_ending);
  on(bus, &Ledger::range_ended);
  on(bus, &Ledger::callback_begun);
  on(bus, &Ledger::callback_ended);
  on(bus, &Ledger::registered);
  on(bus, &Ledger::unlinked);
  on(bus, &Ledger::unregister_begun);
  on(bus, &Ledger::unregistered);
  on(bus, &Ledger::subscription_freed);
  on(bus, &Ledger::interval_inserted);
  on(bus, &Ledger::interval_removed);
  on(bus, &Ledger::mm_created);
  on(bus, &Ledger::release_begun);
  on(bus, &Ledger::released);
  on(bus, &Ledger::mm_freed);
  on(bus, &Ledger::detached);
  on(bus, &Ledger::syscall_begun);
  on(bus, &Ledger::syscall_ended);
  on(bus, &Ledger::fault_handled);
  on(bus, &Ledger::lock_taken);
  on(bus, &Ledger::lock_given_back);
}

void Ledger::reset() {
  for (const Pfn pfn : touched_frames_) {
    frames_[pfn.value >> kChunkShift]->frames[pfn.value & kChunkMask] = {};
    frames_[pfn.value >> kChunkShift]->pasts[pfn.value & kChunkMask] = {};
  }
  touched_frames_.clear();
  translations_.clear();
  free_translations_.clear();
  by_ghost_.clear();
  pages_.clear();
  weakenings_.clear();
  free_pages_.clear();
  by_page_.clear();
  empty_pages_.clear();
  oldest_empty_ = 0;
  ranges_.clear();
  free_ranges_.clear();
  closed_ranges_.clear();
  oldest_closed_ = 0;
  by_range_.clear();
  mms_.clear();
  by_mm_.clear();
  attachments_.clear();
  registrations_.clear();
  by_serial_.clear();
  tasks_.clear();
  names_.clear();
  names_.id_of("");  // number 0: nothing to say
}

// --- finding things ----------------------------------------------------------------------------------------

Frame& Ledger::make_frame(Pfn pfn) {
  const std::size_t chunk = pfn.value >> kChunkShift;
  if (chunk >= frames_.size()) frames_.resize(chunk + 1);
  if (!frames_[chunk]) frames_[chunk] = std::make_unique<Chunk>();
  Frame& frame = frames_[chunk]->frames[pfn.value & kChunkMask];
  if (!frame.touched) {
    frame.touched = true;
    touched_frames_.push_back(pfn);
  }
  return frame;
}

const Frame* Ledger::frame(Pfn pfn) const {
  const std::size_t chunk = pfn.value >> kChunkShift;
  if (chunk >= frames_.size() || !frames_[chunk]) return nullptr;
  return &frames_[chunk]->frames[pfn.value & kChunkMask];
}

std::uint32_t Ledger::make_page(std::uint32_t mm, Vpn vpn) {
  const std::uint64_t key = page_key(mm, vpn);
  std::uint32_t index = by_page_.find(key);
  if (index != kNobody) return index;
  if (free_pages_.empty()) {
    index = static_cast<std::uint32_t>(pages_.size());
    pages_.emplace_back();
    weakenings_.emplace_back();
  } else {
    index = free_pages_.back();
    free_pages_.pop_back();
    pages_[index] = {};
    weakenings_[index] = {};
  }
  pages_[index].mm = mm;
  pages_[index].vpn = vpn;
  by_page_.insert(key, index);
  return index;
}

void Ledger::retire_if_empty(std::uint32_t index) {
  Page& page = pages_[index];
  if (page.retired || page.pfn != kNoPfn || page.translations != kNobody) return;
  page.retired = true;
  if (empty_pages_.size() < kEmptyPages) {
    empty_pages_.push_back(index);
    return;
  }
  const std::uint32_t oldest = empty_pages_[oldest_empty_];
  Page& old = pages_[oldest];
  old.retired = false;
  if (old.pfn == kNoPfn && old.translations == kNobody) {
    by_page_.erase(page_key(old.mm, old.vpn));
    free_pages_.push_back(oldest);
  }
  empty_pages_[oldest_empty_] = index;
  oldest_empty_ = (oldest_empty_ + 1) % kEmptyPages;
}

Mm& Ledger::make_mm(std::uint32_t id, std::string_view name) {
  std::uint32_t index = by_mm_.find(id);
  if (index == kNobody) {
    index = static_cast<std::uint32_t>(mms_.size());
    by_mm_.insert(id, index);
    mms_.emplace_back();
    mms_.back().id = id;
  }
  if (mms_[index].name == 0 && !name.empty()) mms_[index].name = names_.id_of(name);
  return mms_[index];
}

Attachment& Ledger::make_attachment(Names::Id device, std::uint32_t mm, std::string_view mm_name) {
  Mm& space = make_mm(mm, mm_name);
  for (const std::uint32_t index : space.attachments)
    if (attachments_[index].device == device) return attachments_[index];
  space.attachments.push_back(static_cast<std::uint32_t>(attachments_.size()));
  attachments_.emplace_back();
  attachments_.back().device = device;
  attachments_.back().mm = mm;
  return attachments_.back();
}

Registration& Ledger::make_registration(std::uint64_t serial, std::uint32_t mm, std::string_view device) {
  std::uint32_t index = by_serial_.find(serial);
  if (index == kNobody) {
    index = static_cast<std::uint32_t>(registrations_.size());
    by_serial_.insert(serial, index);
    registrations_.emplace_back();
    registrations_.back().serial = serial;
    registrations_.back().mm = mm;
    registrations_.back().device = names_.id_of(device);
  }
  return registrations_[index];
}

TaskState& Ledger::task(unsigned id) {
  if (id >= tasks_.size()) tasks_.resize(id + 1);
  return tasks_[id];
}

Translation* Ledger::find(const Ghost* ghost) {
  const std::uint32_t index = by_ghost_.find(ghost_key(ghost));
  return index == kNobody ? nullptr : &translations_[index];
}

const Page* Ledger::page(std::uint32_t mm, Vpn vpn) const {
  const std::uint32_t index = by_page_.find(page_key(mm, vpn));
  return index == kNobody ? nullptr : &pages_[index];
}

const Range* Ledger::range(std::uint64_t id) const {
  const std::uint32_t index = by_range_.find(id);
  return index == kNobody ? nullptr : &ranges_[index];
}

const Mm* Ledger::mm(std::uint32_t id) const {
  const std::uint32_t index = by_mm_.find(id);
  return index == kNobody ? nullptr : &mms_[index];
}

const Attachment* Ledger::attachment(Names::Id device, std::uint32_t mm_id) const {
  const Mm* space = mm(mm_id);
  if (space == nullptr) return nullptr;
  for (const std::uint32_t index : space->attachments)
    if (attachments_[index].device == device) return &attachments_[index];
  return nullptr;
}

const Registration* Ledger::registration(std::uint64_t serial) const {
  const std::uint32_t index = by_serial_.find(serial);
  return index == kNobody ? nullptr : &registrations_[index];
}

std::string Ledger::text(Holder holder) const {
  return holder.is_core() ? fmt::format("cpu{}", holder.value & ~Holder::kCore) : names_.text(holder.value);
}

std::string Ledger::mm_text(std::uint32_t id) const {
  const Mm* space = mm(id);
  return space == nullptr || space->name == 0 ? fmt::format("mm {}", id) : names_.text(space->name);
}

// --- what is wrong with a translation ----------------------------------------------------------------------

bool Ledger::frame_is_gone(const Translation& translation) const {
  const Frame& frame = *this->frame(translation.pfn);
  return frame.known && (!frame.used || frame.allocation != translation.allocation);
}

Breach Ledger::breach_of(const Translation& translation, bool write) const {
  if (frame_is_gone(translation)) return Breach::use_after_free;
  const Page& page = pages_[translation.page];
  if (page.pfn != translation.pfn) return Breach::stale_mapping;
  return write && translation.writable && !page.writable ? Breach::stale_write_permission : Breach::none;
}

void Ledger::break_legality(Translation& translation, Breach breach, const Stamp& stamp) {
  translation.owed_since = 0;
  if (translation.breach == Breach::none) translation.broken = moment_of(stamp);
  if (translation.breach != breach) translation.reported = false;
  translation.breach = breach;
  translation.ghost->word |= Ghost::kIllegal;
  if (on_broken) on_broken(translation, stamp);
}

void Ledger::owe(std::vector<Range::Owed>& list, std::uint32_t index) {
  const std::uint64_t since = translations_[index].owed_since;
  // What was settled elsewhere is thrown out now and then, so that a list nobody settles stays small.
  if (list.size() >= 64 && (list.size() & (list.size() - 1)) == 0)
    std::erase_if(list,
                  [this](const Range::Owed& owed) { return translations_[owed.translation].owed_since != owed.since; });
  list.push_back({index, since});
}

// Their time is over: those that are still live and still too strong become illegal.
void Ledger::settle(std::vector<Range::Owed>& owed, std::uint32_t mm, PageRange pages, const Stamp& stamp) {
  if (owed.empty()) return;
  std::size_t kept = 0;
  for (const Range::Owed item : owed) {
    Translation& translation = translations_[item.translation];
    if (translation.ghost == nullptr || translation.owed_since != item.since) continue;
    if (!pages.contains(translation.vpn) || (mm != kAnyMm && translation.mm != mm)) {
      owed[kept++] = item;
      continue;
    }
    translation.owed_since = 0;
    if (!within(translation, pages_[translation.page]))
      break_legality(translation, breach_of(translation, true), stamp);
  }
  owed.resize(kept);
}

// The open range that a change of this page by this task belongs to: its own, else the newest that covers it.
const Range* Ledger::covering(const Mm& space, Vpn vpn, unsigned task) const {
  const Range* best = nullptr;
  for (const std::uint32_t index : space.open) {
    const Range& range = ranges_[index];
    if (range.state != Range::State::open || !range.pages.contains(vpn)) continue;
    if (best == nullptr || range.announced.task == task || best->announced.task != task) best = &range;
  }
  return best;
}

// Has the device been called, with success, for an open range that covers the page?
bool Ledger::told(const Mm& space, Vpn vpn, Names::Id device) const {
  for (const std::uint32_t index : space.open) {
    const Range& range = ranges_[index];
    if (range.state != Range::State::open || !range.pages.contains(vpn)) continue;
    const Range::Call* call = range.call_of(device);
    if (call != nullptr && call->held) return true;
  }
  return false;
}

bool Ledger::called_since(const Attachment& attachment, Vpn vpn, std::uint64_t number) const {
  for (const Attachment::Callback& recent : attachment.recent)
    if (recent.end.happened() && recent.begin.number > number && recent.pages.contains(vpn)) return true;
  return false;
}

// --- memory ------------------------------------------------------------------------------------------------

void Ledger::allocated(const FrameAllocated& e, const Stamp& stamp) {
  const Names::Id owner = names_.id_of(e.owner);
  const Names::Id use = names_.id_of(e.use);
  for (std::uint64_t i = 0; i < e.pages; ++i) {
    const Pfn pfn{e.pfn.value + i};
    Frame& frame = make_frame(pfn);
    frame.known = true;
    frame.used = true;
    frame.allocation = e.allocation;
    FramePast& past = make_past(pfn);
    past.owner = owner;
    past.use = use;
    past.allocated = moment_of(stamp);
  }
}

void Ledger::freed(const FrameFreed& e, const Stamp& stamp) {
  for (std::uint64_t i = 0; i < e.pages; ++i) {
    const Pfn pfn{e.pfn.value + i};
    Frame& frame = make_frame(pfn);
    frame.known = true;
    frame.used = false;
    make_past(pfn).freed = moment_of(stamp);
    for (std::uint32_t index = frame.translations; index != kNobody; index = translations_[index].frame_next)
      if (translations_[index].breach != Breach::use_after_free)
        break_legality(translations_[index], Breach::use_after_free, stamp);
  }
}

// --- translations ------------------------------------------------------------------------------------------

std::uint32_t Ledger::fill(Holder holder, std::uint32_t mm, Vpn vpn, Pfn pfn, bool writable, const Ghost* ghost,
                           const Stamp& stamp) {
  drop(ghost);  // a slot that is overwritten without a word
  std::uint32_t index;
  if (free_translations_.empty()) {
    index = static_cast<std::uint32_t>(translations_.size());
    translations_.emplace_back();
  } else {
    index = free_translations_.back();
    free_translations_.pop_back();
  }
  const std::uint32_t page_index = make_page(mm, vpn);
  Page& page = pages_[page_index];
  Frame& frame = make_frame(pfn);

  Translation& fresh = translations_[index];
  fresh = {};
  fresh.ghost = ghost;
  fresh.holder = holder;
  fresh.mm = mm;
  fresh.page = page_index;
  fresh.vpn = vpn;
  fresh.pfn = pfn;
  fresh.allocation = frame.allocation;
  fresh.writable = writable;
  fresh.filled = moment_of(stamp);

  fresh.page_next = page.translations;
  if (fresh.page_next != kNobody) translations_[fresh.page_next].page_previous = index;
  page.translations = index;
  fresh.frame_next = frame.translations;
  if (fresh.frame_next != kNobody) translations_[fresh.frame_next].frame_previous = index;
  frame.translations = index;
  by_ghost_.insert(ghost_key(ghost), index);
  return index;
}

void Ledger::drop(const Ghost* ghost) {
  const std::uint32_t index = by_ghost_.find(ghost_key(ghost));
  if (index == kNobody) return;
  Translation& gone = translations_[index];
  if (gone.breach != Breach::none && on_gone) on_gone(gone);

  if (gone.page_previous != kNobody)
    translations_[gone.page_previous].page_next = gone.page_next;
  else
    pages_[gone.page].translations = gone.page_next;
  if (gone.page_next != kNobody) translations_[gone.page_next].page_previous = gone.page_previous;
  if (gone.frame_previous != kNobody)
    translations_[gone.frame_previous].frame_next = gone.frame_next;
  else
    make_frame(gone.pfn).translations = gone.frame_next;
  if (gone.frame_next != kNobody) translations_[gone.frame_next].frame_previous = gone.frame_previous;

  if (!gone.holder.is_core()) --make_attachment(gone.holder.value, gone.mm, {}).live;
  by_ghost_.erase(ghost_key(ghost));
  gone.ghost = nullptr;
  gone.owed_since = 0;
  retire_if_empty(gone.page);
  free_translations_.push_back(index);
}

void Ledger::device_filled(const DeviceFill& e, const Stamp& stamp) {
  const Names::Id device = names_.id_of(e.device);
  ++make_attachment(device, e.mm_id, e.mm).live;
  judge_fill(fill(Holder::device(device), e.mm_id, e.page, e.pfn, e.writable, e.ghost, stamp), stamp);
}

void Ledger::device_dropped(const DeviceDrop& e, const Stamp&) { drop(e.ghost); }

void Ledger::cpu_filled(const CpuTlbFill& e, const Stamp& stamp) {
  judge_fill(fill(Holder::core(e.core), e.asid, e.page, e.pfn, e.writable, e.ghost, stamp), stamp);
}

void Ledger::cpu_dropped(const CpuTlbDrop& e, const Stamp&) { drop(e.ghost); }

// A fill may bring what the PTE said when it was read, and the PTE may have changed since. Whoever is still
// to be told, or still to be flushed, will drop it; for everybody else it is too late.
void Ledger::judge_fill(std::uint32_t index, const Stamp& stamp) {
  Translation& translation = translations_[index];
  const Page& page = pages_[translation.page];
  const Frame& frame = make_frame(translation.pfn);
  if (frame.known && !frame.used) {
    break_legality(translation, Breach::use_after_free, stamp);
    return;
  }
  if (within(translation, page)) return;
  const Weakening& change = weakenings_[translation.page];
  const FramePast& past = make_past(translation.pfn);
  // Was the frame given back after the page lost it? Then it is another allocation that stands there now.
  const bool freed_since = change.moment.happened() && past.freed.happened() && page.pfn != translation.pfn &&
                           past.freed.number > change.moment.number &&
                           (change.old_pfn == translation.pfn || past.allocated.number > change.moment.number);
  if (freed_since) {
    // Its frame has gone to somebody else in the meantime: what it was made from is older.
    translation.allocation = UINT64_MAX;
    break_legality(translation, Breach::use_after_free, stamp);
    return;
  }
  const bool settled =
      !change.moment.happened() || change.settled || task(change.moment.task).last_exit > change.moment.number;
  translation.owed_since = stamp.number + 1;
  if (translation.holder.is_core()) {
    if (!settled) {
      owe(task(change.moment.task).owed, index);
      return;
    }
  } else {
    const Names::Id device = translation.holder.value;
    Mm& space = make_mm(translation.mm, {});
    Attachment& attachment = make_attachment(device, translation.mm, {});
    const std::uint32_t range_index = change.range_id == 0 ? kNobody : by_range_.find(change.range_id);
    if (!told(space, translation.vpn, device)) {
      const bool late = called_since(attachment, translation.vpn, change.moment.number);
      if (range_index != kNobody && ranges_[range_index].is_open()) {
        // A start that has not returned has promised nothing yet.
        const Range::Call* call = ranges_[range_index].call_of(device);
        if (!late && (call == nullptr || !call->end.happened())) {
          owe(ranges_[range_index].owed, index);
          owe(attachment.owed, index);
          return;
        }
      } else if (change.range_id == 0 && !settled && !late) {
        owe(attachment.owed, index);
        owe(task(change.moment.task).owed, index);
        return;
      }
    }
  }
  break_legality(translation, breach_of(translation, true), stamp);
}

// --- page tables -------------------------------------------------------------------------------------------

void Ledger::pte_changed(const PteChanged& e, const Stamp& stamp) {
  PteChanged one = e;
  for (std::uint64_t i = 0; i < e.pages; ++i) {
    page_changed(one, stamp);
    one.page = one.page + 1;
    if (e.old_pfn != kNoPfn) ++one.old_pfn.value;
    if (e.new_pfn != kNoPfn) ++one.new_pfn.value;
  }
}

void Ledger::page_changed(const PteChanged& e, const Stamp& stamp) {
  const std::uint32_t page_index = make_page(e.mm_id, e.page);
  Page& page = pages_[page_index];
  page.pfn = e.new_pfn;
  page.writable = e.new_pfn != kNoPfn && e.new_writable;
  const bool weaker = e.old_pfn != kNoPfn && (e.new_pfn != e.old_pfn || (e.old_writable && !e.new_writable));
  if (!weaker) return;

  const Mm& space = make_mm(e.mm_id, e.mm);
  const Range* range = covering(space, e.page, stamp.task);
  Weakening& change = weakenings_[page_index];
  change.moment = moment_of(stamp);
  change.old_pfn = e.old_pfn;
  change.old_writable = e.old_writable;
  change.new_pfn = e.new_pfn;
  change.new_writable = e.new_writable;
  change.settled = false;
  change.range_id = range == nullptr ? 0 : range->id;
  change.why = names_.id_of(e.why);

  for (std::uint32_t index = page.translations; index != kNobody; index = translations_[index].page_next) {
    Translation& translation = translations_[index];
    if (translation.breach != Breach::none || translation.owed_since != 0 || within(translation, page)) continue;
    if (translation.holder.is_core()) {
      translation.owed_since = stamp.number + 1;
      owe(task(stamp.task).owed, index);
      continue;
    }
    if (told(space, e.page, translation.holder.value)) {
      break_legality(translation, breach_of(translation, true), stamp);
      continue;
    }
    translation.owed_since = stamp.number + 1;
    owe(make_attachment(translation.holder.value, e.mm_id, e.mm).owed, index);
    if (range != nullptr)
      owe(ranges_[by_range_.find(range->id)].owed, index);
    else
      owe(task(stamp.task).owed, index);
  }
  retire_if_empty(page_index);
}

void Ledger::syscall_begun(const SyscallBegin& e, const Stamp& stamp) {
  TaskState& state = task(stamp.task);
  state.call_name = names_.id_of(e.call);
  state.call_pages = e.pages;
}

void Ledger::syscall_ended(const SyscallEnd&, const Stamp& stamp) {
  TaskState& state = task(stamp.task);
  state.call_name = 0;
  state.last_exit = stamp.number + 1;
  settle(state.owed, kAnyMm, kAnyPage, stamp);
}

void Ledger::fault_handled(const FaultHandled& e, const Stamp& stamp) {
  const std::uint32_t index = by_page_.find(page_key(e.mm_id, e.page));
  if (index == kNobody) return;
  Weakening& change = weakenings_[index];
  if (!change.moment.happened() || change.moment.task != stamp.task) return;
  change.settled = true;
  settle(task(stamp.task).owed, e.mm_id, one_page(e.page), stamp);
}

// --- invalidations -----------------------------------------------------------------------------------------

void Ledger::range_announced(const InvalidateStart& e, const Stamp& stamp) {
  std::uint32_t index;
  if (!free_ranges_.empty()) {
    index = free_ranges_.back();
    free_ranges_.pop_back();
  } else {
    index = static_cast<std::uint32_t>(ranges_.size());
    ranges_.emplace_back();
  }
  if (by_range_.find(e.id) != kNobody) by_range_.erase(e.id);
  by_range_.insert(e.id, index);
  Range& range = ranges_[index];
  range.id = e.id;
  range.mm = e.mm_id;
  range.pages = e.pages;
  range.event = e.event;
  range.state = Range::State::open;
  range.ends = 0;
  range.during = task(stamp.task).call_name;
  range.announced = moment_of(stamp);
  range.told = range.end = range.ended = {};
  range.calls.clear();
  range.owed.clear();
  make_mm(e.mm_id, e.mm).open.push_back(index);
}

void Ledger::range_told(const InvalidateStarted& e, const Stamp& stamp) {
  const std::uint32_t index = by_range_.find(e.id);
  if (index == kNobody || !ranges_[index].is_open()) return;
  ranges_[index].told = moment_of(stamp);
  if (e.result == Errno::ok) return;
  ranges_[index].ended = moment_of(stamp);
  close(index);
  ranges_[index].state = Range::State::refused;
}

void Ledger::range_ending(const InvalidateEnd& e, const Stamp& stamp) {
  const std::uint32_t index = by_range_.find(e.id);
  if (index == kNobody) return;
  Range& range = ranges_[index];
  ++range.ends;
  if (range.state != Range::State::open) return;
  range.state = Range::State::ending;
  // Interval subscribers have no end callback: their sequence moves at the beginning of the end.
  for (Range::Call& call : range.calls)
    if (call.ends_with_range) call.held = false;
  range.end = moment_of(stamp);
}

void Ledger::range_ended(const InvalidateEnded& e, const Stamp& stamp) {
  const std::uint32_t index = by_range_.find(e.id);
  if (index == kNobody || !ranges_[index].is_open()) return;
  ranges_[index].ended = moment_of(stamp);
  settle(ranges_[index].owed, kAnyMm, kAnyPage, stamp);
  close(index);
}

// Kept for a while: violations tell of ranges that are long over.
void Ledger::close(std::uint32_t index) {
  Range& range = ranges_[index];
  range.state = Range::State::closed;
  std::erase(make_mm(range.mm, {}).open, index);
  if (closed_ranges_.size() < kClosedRanges) {
    closed_ranges_.push_back(index);
    return;
  }
  const std::uint32_t oldest = closed_ranges_[oldest_closed_];
  if (by_range_.find(ranges_[oldest].id) == oldest) by_range_.erase(ranges_[oldest].id);
  free_ranges_.push_back(oldest);
  closed_ranges_[oldest_closed_] = index;
  oldest_closed_ = (oldest_closed_ + 1) % kClosedRanges;
}

void Ledger::callback_begun(const CallbackBegin& e, const Stamp& stamp) {
  Registration& registration = make_registration(e.serial, e.mm_id, e.subscriber);
  ++registration.running;
  registration.last = e.callback;
  registration.last_begin = moment_of(stamp);
  switch (e.callback) {
    case Callback::start:
    case Callback::interval_invalidate: {
      if (e.callback == Callback::start) registration.told_start = true;
      const std::uint32_t index = by_range_.find(e.range_id);
      if (index == kNobody) break;
      ranges_[index].calls.push_back({registration.device, e.serial, false, Errno::ok, moment_of(stamp), {}});
      ranges_[index].calls.back().ends_with_range = e.callback == Callback::interval_invalidate;
      break;
    }
    case Callback::end: {
      // The PTEs have changed: from here on the device may take translations again.
      const std::uint32_t index = by_range_.find(e.range_id);
      if (index != kNobody)
        for (Range::Call& call : ranges_[index].calls)
          if (call.serial == e.serial) call.held = false;
      [[fallthrough]];
    }
    case Callback::release:
    case Callback::change_pte:
    case Callback::invalidate_page:
    case Callback::invalidate_range:
    case Callback::secondary_tlbs: {
      Attachment& attachment = make_attachment(registration.device, e.mm_id, e.mm);
      attachment.recent[attachment.next_recent++ % Attachment::kRecent] = {e.callback, e.pages, moment_of(stamp), {}};
      break;
    }
    default:
      break;
  }
}

void Ledger::callback_ended(const CallbackEnd& e, const Stamp& stamp) {
  Registration& registration = make_registration(e.serial, e.mm_id, e.subscriber);
  --registration.running;
  registration.last_end = moment_of(stamp);
  switch (e.callback) {
    case Callback::start:
    case Callback::interval_invalidate: {
      const std::uint32_t index = by_range_.find(e.range_id);
      if (index != kNobody)
        for (Range::Call& call : ranges_[index].calls) {
          if (call.serial != e.serial) continue;
          call.end = moment_of(stamp);
          call.result = e.result;
          call.held = e.result == Errno::ok;
        }
      if (e.result != Errno::ok) return;  // it promised nothing
      break;
    }
    case Callback::end:
    case Callback::release:
    case Callback::change_pte:
    case Callback::invalidate_page:
    case Callback::invalidate_range:
    case Callback::secondary_tlbs: {
      Attachment& attachment = make_attachment(registration.device, e.mm_id, e.mm);
      for (unsigned back = 1; back <= Attachment::kRecent; ++back) {
        Attachment::Callback& recent =
            attachment.recent[(attachment.next_recent + Attachment::kRecent - back) % Attachment::kRecent];
        if (!recent.begin.happened() || recent.begin.task != stamp.task || recent.end.happened() ||
            recent.callback != e.callback)
          continue;
        recent.end = moment_of(stamp);
        break;
      }
      break;
    }
    default:
      return;  // the ageing callbacks promise nothing about translations
  }
  settle(make_attachment(registration.device, e.mm_id, e.mm).owed, kAnyMm, e.pages, stamp);
}

// --- registrations and the lives of address spaces ---------------------------------------------------------

void Ledger::registered(const Registered& e, const Stamp& stamp) {
  Registration& registration = make_registration(e.serial, e.mm_id, e.subscriber);
  registration.registered = moment_of(stamp);
  Attachment& attachment = make_attachment(registration.device, e.mm_id, e.mm);
  attachment.is_detached = false;
}

void Ledger::unlinked(const Unlinked& e, const Stamp& stamp) {
  if (e.was_linked) make_registration(e.serial, e.mm_id, e.subscriber).unlinked = moment_of(stamp);
}

void Ledger::unregister_begun(const UnregisterBegin& e, const Stamp& stamp) {
  make_registration(e.serial, e.mm_id, e.subscriber).unregister_begun = moment_of(stamp);
}

void Ledger::unregistered(const UnregisterEnd& e, const Stamp& stamp) {
  make_registration(e.serial, e.mm_id, e.subscriber).unregistered = moment_of(stamp);
}

void Ledger::subscription_freed(const SubscriptionFreed& e, const Stamp& stamp) {
  make_registration(e.serial, e.mm_id, e.subscriber).freed = moment_of(stamp);
}

void Ledger::interval_inserted(const IntervalInserted& e, const Stamp& stamp) {
  make_registration(e.serial, e.mm_id, e.subscriber).registered = moment_of(stamp);
}

void Ledger::interval_removed(const IntervalRemoved& e, const Stamp& stamp) {
  make_registration(e.serial, e.mm_id, e.subscriber).unregistered = moment_of(stamp);
}

void Ledger::mm_created(const MmCreated& e, const Stamp&) { make_mm(e.mm_id, e.mm); }

void Ledger::release_begun(const MmReleaseBegin& e, const Stamp& stamp) {
  make_mm(e.mm_id, e.mm).release_begun = moment_of(stamp);
}

void Ledger::released(const MmReleaseEnd& e, const Stamp& stamp) { make_mm(e.mm_id, e.mm).released = moment_of(stamp); }

void Ledger::mm_freed(const MmFreed& e, const Stamp& stamp) { make_mm(e.mm_id, e.mm).freed = moment_of(stamp); }

void Ledger::detached(const DeviceDetached& e, const Stamp& stamp) {
  Attachment& attachment = make_attachment(names_.id_of(e.device), e.mm_id, e.mm);
  attachment.is_detached = true;
  attachment.detached = moment_of(stamp);
}

// --- locks -------------------------------------------------------------------------------------------------

void Ledger::lock_taken(const LockAcquired& e, const Stamp& stamp) { task(stamp.task).locks.push_back(e.lock); }

void Ledger::lock_given_back(const LockReleased& e, const Stamp& stamp) {
  std::vector<std::string_view>& locks = task(stamp.task).locks;
  for (std::size_t at = locks.size(); at-- > 0;) {
    if (locks[at].data() != e.lock.data() && locks[at] != e.lock) continue;
    locks.erase(locks.begin() + static_cast<std::ptrdiff_t>(at));
    return;
  }
}

// --- audit -------------------------------------------------------------------------------------------------

std::vector<std::string> Ledger::audit() const {
  std::vector<std::string> wrong;
  std::size_t live = 0;
  std::vector<std::uint64_t> attached(attachments_.size());
  std::vector<std::uint32_t> by_page_count(pages_.size());
  for (std::uint32_t index = 0; index < translations_.size(); ++index) {
    const Translation& translation = translations_[index];
    if (translation.ghost == nullptr) continue;
    ++live;
    if (by_ghost_.find(ghost_key(translation.ghost)) != index)
      wrong.push_back(fmt::format("translation {} is not found by its ghost", index));
    if (((translation.ghost->word & Ghost::kIllegal) != 0) != (translation.breach != Breach::none))
      wrong.push_back(fmt::format("translation {}: its mark and its breach differ", index));
    const Page& page = pages_[translation.page];
    if (page.mm != translation.mm || page.vpn != translation.vpn ||
        by_page_.find(page_key(page.mm, page.vpn)) != translation.page)
      wrong.push_back(fmt::format("translation {} hangs on another page", index));
    ++by_page_count[translation.page];
    if (frame_is_gone(translation) && translation.breach != Breach::use_after_free)
      wrong.push_back(fmt::format("translation {} of a freed frame passes for legal", index));
    if (translation.breach == Breach::none && translation.owed_since == 0 && !within(translation, page))
      wrong.push_back(fmt::format("translation {} is stronger than its PTE and nobody owes it", index));
    if (translation.holder.is_core()) continue;
    for (std::size_t at = 0; at < attachments_.size(); ++at)
      if (attachments_[at].device == translation.holder.value && attachments_[at].mm == translation.mm) ++attached[at];
  }
  if (live != by_ghost_.size()) wrong.push_back(fmt::format("{} translations, {} ghosts", live, by_ghost_.size()));
  if (live + free_translations_.size() != translations_.size()) wrong.emplace_back("a slot of a translation was lost");
  for (std::size_t at = 0; at < attachments_.size(); ++at)
    if (attached[at] != attachments_[at].live)
      wrong.push_back(fmt::format("{} on {}: {} translations, counted {}", names_.text(attachments_[at].device),
                                  mm_text(attachments_[at].mm), attached[at], attachments_[at].live));
  for (std::uint32_t index = 0; index < pages_.size(); ++index) {
    std::uint32_t length = 0;
    std::uint32_t previous = kNobody;
    for (std::uint32_t at = pages_[index].translations; at != kNobody; at = translations_[at].page_next) {
      if (translations_[at].page != index || translations_[at].page_previous != previous ||
          translations_[at].ghost == nullptr)
        wrong.push_back(fmt::format("the list of page {} is torn", index));
      previous = at;
      if (++length > translations_.size()) break;
    }
    if (length != by_page_count[index]) wrong.push_back(fmt::format("the list of page {} has another length", index));
  }
  std::size_t on_frames = 0;
  for (const auto& chunk : frames_) {
    if (!chunk) continue;
    for (const Frame& frame : chunk->frames) {
      std::uint32_t previous = kNobody;
      for (std::uint32_t at = frame.translations; at != kNobody; at = translations_[at].frame_next) {
        if (translations_[at].frame_previous != previous || translations_[at].ghost == nullptr || on_frames > live) {
          wrong.emplace_back("the list of a frame is torn");
          break;
        }
        previous = at;
        ++on_frames;
      }
    }
  }
  if (on_frames != live) wrong.push_back(fmt::format("{} translations, {} on frames", live, on_frames));
  std::size_t open = 0;
  for (const Mm& space : mms_)
    for (const std::uint32_t index : space.open) {
      ++open;
      if (!ranges_[index].is_open() || ranges_[index].mm != space.id)
        wrong.push_back(fmt::format("range {} is not open", ranges_[index].id));
    }
  if (open + closed_ranges_.size() + free_ranges_.size() != ranges_.size())
    wrong.emplace_back("a slot of a range was lost");
  return wrong;
}

std::vector<std::string> Ledger::snapshot() const {
  std::vector<std::string> lines;
  for (const Translation& t : translations_)
    if (t.ghost != nullptr)
      lines.push_back(fmt::format("{} {} {:x} -> {:x}{}{}", text(t.holder), mm_text(t.mm), t.vpn.value, t.pfn.value,
                                  t.writable ? " w" : "", t.breach == Breach::none ? "" : " illegal"));
  for (const Page& page : pages_)
    if (page.pfn != kNoPfn)
      lines.push_back(fmt::format("pte {} {:x} = {:x}{}", mm_text(page.mm), page.vpn.value, page.pfn.value,
                                  page.writable ? " w" : ""));
  for (const Mm& space : mms_)
    for (const std::uint32_t index : space.open) lines.push_back(fmt::format("open {}", ranges_[index].id));
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace secmmu
