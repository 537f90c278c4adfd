#include "models/devices/hmm/driver.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "models/devices/events.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"

namespace secmmu {

// What the driver keeps for an address space, and its subscriber there.
struct HmmDevice::Mirror final : IntervalSubscription {
  Mirror(HmmDevice& owner, Mm& space, PageRange covered)
      : device(owner),
        mm(space),
        pages(covered),
        table(owner.hardware.add_table(space.name(), space.id())),
        lock(owner.arbiter_, "hmm_mirror", fmt::format("{}.mirror({})", owner.name_, space.name())),
        idle(owner.arbiter_, fmt::format("{}.faults({})", owner.name_, space.name())) {}

  HmmDevice& device;
  Mm& mm;
  const PageRange pages;  // that it may mirror
  HmmPageTable& table;
  Mutex lock;
  WaitQueue idle;
  unsigned faults = 0;  // under way
  bool taken = true;    // from the beginning of attach to the end of detach
  bool open = false;    // faults may begin

  const std::string& name() const override { return device.name_; }
  bool invalidate(const InvalidateRange& range, std::uint64_t sequence) override {
    return device.invalidate(*this, range, sequence);
  }
};

HmmDevice::HmmDevice(std::string name, Arbiter& arbiter, MmSystem& mms, HmmConfig config)
    : config_(config), hardware(name.c_str(), arbiter, config_), name_(std::move(name)), arbiter_(arbiter), mms_(mms) {}

HmmDevice::~HmmDevice() = default;

// --- attaching ------------------------------------------------------------------------------------

// The latest: an address space may be given up and taken up again.
HmmDevice::Mirror* HmmDevice::mirror_of(const Mm& mm) {
  for (auto it = mirrors_.rbegin(); it != mirrors_.rend(); ++it)
    if (&(*it)->mm == &mm) return it->get();
  return nullptr;
}

Errno HmmDevice::attach_pages(Mm& mm, PageRange pages) {
  if (Mirror* const mirror = mirror_of(mm); mirror != nullptr && mirror->taken) return Errno::eexist;
  Mirror& mirror = *mirrors_.emplace_back(std::make_unique<Mirror>(*this, mm, pages));
  const VirtAddr first = address_of(pages.first);
  const Errno result = mms_.notifier.interval_insert(mirror, mm, first, pages.pages() * kPageSize);
  mirror.open = result == Errno::ok;
  mirror.taken = mirror.open;
  if (mirror.open) mm.at_close.push_back([this, &mirror] { close(mirror); });
  return result;
}

void HmmDevice::detach(Mm& mm) {
  if (Mirror* const mirror = mirror_of(mm); mirror != nullptr) close(*mirror);
}

// Rule: the interval hears of invalidations until it is removed, so what it protects must be gone by then. And it must
// not be asked for its sequence after that, so faults under way end first.
void HmmDevice::close(Mirror& mirror) {
  if (!mirror.open) return;
  mirror.open = false;
  const auto empty = [&] {
    mirror.lock.lock();
    drop(mirror, mirror.pages);
    mirror.lock.unlock();
  };
  if (protocol_.empty_before_remove) empty();
  mirror.idle.wait_until([&mirror] { return mirror.faults == 0; },
                         fmt::format("{}'s faults in {} to end", name_, mirror.mm.name()));
  mms_.notifier.interval_remove(mirror);
  if (!protocol_.empty_before_remove) empty();
  arbiter_.bus().emit(DeviceDetached{name_, mirror.mm.name(), mirror.mm.id()});
  mirror.taken = false;
}

// Rule: the device keeps no note of what it has written, so every page that it could write is dirty when its entry goes.
// The pages are still there: the process holds them until the invalidation has been told.
void HmmDevice::drop(Mirror& mirror, PageRange pages) {
  std::vector<Pfn> written;
  if (protocol_.dirty_to_page)
    mirror.table.for_each(pages, [&](Vpn, const HmmPageTable::Entry& entry) {
      if (entry.writable) written.push_back(entry.frame);
    });
  hardware.drop(mirror.table, pages);
  for (const Pfn frame : written)
    if (mms_.memory.frame(frame).use != FrameUse::free) note_dirty(mms_, mms_.memory.head(frame));
}

// --- invalidation ---------------------------------------------------------------------------------

// Rule: the sequence first, then the entries, both under the lock under which a fault asks and writes. There is no end
// callback: whoever asks later is kept waiting by the sequence.
bool HmmDevice::invalidate(Mirror& mirror, const InvalidateRange& range, std::uint64_t sequence) {
  ++counters_.invalidations;
  if (protocol_.invalidate_under_lock) {
    if (range.blockable || !protocol_.refuse_when_not_blockable) {
      mirror.lock.lock();
    } else if (!mirror.lock.try_lock()) {
      ++counters_.refused;
      return false;
    }
  }
  if (protocol_.set_sequence) mms_.notifier.set_sequence(mirror, sequence);
  const PageRange pages = range.pages.intersect(mirror.pages);
  drop(mirror, protocol_.drop_whole_range ? pages : one_page(pages.first));
  if (protocol_.invalidate_under_lock) mirror.lock.unlock();
  if (range.event == InvalidateEvent::release)
    arbiter_.bus().emit(DeviceDetached{name_, mirror.mm.name(), mirror.mm.id()});
  return true;
}

// --- accesses and faults ---------------------------------------------------------------------------

Errno HmmDevice::access(unsigned number, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
  Miss miss{address.page(), write, 0};
  Errno result = Errno::ok;
  for (;;) {
    Mirror* const mirror = mirror_of(mm);
    if (mirror != nullptr && hardware.access(mirror->table, address, bytes, write, value)) [[likely]]
      break;
    if (miss.id == 0) {
      miss.id = next_fault_++;
      ++counters_.faults;
      hardware.set_state(number, "fault");
      arbiter_.bus().emit(DeviceFaultBegin{name_, mm.name(), mm.id(), miss.id, miss.page, write});
    } else {
      retried(*mirror, miss, "missed again");
    }
    arbiter_.step(config_.report, writes(ObjectKind::device_state, hardware.object(), number));
    result = mirror == nullptr ? Errno::esrch : fault(*mirror, miss);
    if (result != Errno::ok) break;
  }
  if (miss.id != 0) {
    if (result != Errno::ok) ++counters_.errors;
    arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), miss.id, miss.page, result});
    hardware.set_state(number, result == Errno::esrch ? "halted" : "running");
  }
  arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, miss.id != 0, value, result});
  return result;
}

void HmmDevice::retried(const Mirror& mirror, const Miss& miss, std::string_view why) {
  ++counters_.retries;
  arbiter_.bus().emit(DeviceFaultRetry{name_, mirror.mm.name(), mirror.mm.id(), miss.id, miss.page, why});
}

// Rule: who faults pages in is a user of the address space, or finds that there is none.
Errno HmmDevice::fault(Mirror& mirror, const Miss& miss) {
  if (!mirror.open) return Errno::esrch;
  if (!mirror.pages.contains(miss.page)) return Errno::efault;
  ++mirror.faults;
  const bool user = mirror.mm.users().get_unless_zero();
  const Errno result = user ? fault_as_user(mirror, miss) : Errno::esrch;
  --mirror.faults;
  mirror.idle.wake_all();
  if (user) mmput(mirror.mm);  // it may be the last: then the address space ends here
  return result;
}

Errno HmmDevice::fault_as_user(Mirror& mirror, const Miss& miss) {
  const Time until = arbiter_.now() + config_.timeout;
  while (mirror.open) {
    if (arbiter_.now() > until) {
      ++counters_.timeouts;
      return Errno::ebusy;
    }
    RangeFault range;
    if (protocol_.read_begin_before_walk) {
      range.sequence = begin(mirror);
      range.subscription = &mirror;
    }
    Errno result = look(mirror, miss, range);
    if (result == Errno::ebusy) {
      ++counters_.walks_interrupted;
      retried(mirror, miss, "sequence moved in the walk");
      continue;
    }
    if (result != Errno::ok) return result;
    arbiter_.step(config_.dma_map * range.pages.pages());
    if (!protocol_.read_begin_before_walk) range.sequence = begin(mirror);
    result = fill(mirror, range);
    if (result != Errno::ebusy) return result;
    retried(mirror, miss, "sequence moved");
  }
  return Errno::esrch;
}

// Rule: it waits with no lock that an invalidation takes.
std::uint64_t HmmDevice::begin(Mirror& mirror) {
  if (protocol_.wait_outside_lock) return mms_.notifier.read_begin(mirror);
  mirror.lock.lock();
  const std::uint64_t sequence = mms_.notifier.read_begin(mirror);
  mirror.lock.unlock();
  return sequence;
}

// The block, if there is one around the page that can be had; else the page alone.
Errno HmmDevice::look(Mirror& mirror, const Miss& miss, RangeFault& range) {
  mirror.mm.mmap_lock().lock_read();
  range.all = {true, miss.write && protocol_.fault_for_write};
  range.pages = block_around(mirror, miss.page);
  Errno result = range_fault(mirror.mm, range);
  if (result != Errno::ok && result != Errno::ebusy && range.pages.pages() > 1) {
    range.pages = one_page(miss.page);
    result = range_fault(mirror.mm, range);
  }
  mirror.mm.mmap_lock().unlock_read();
  return result;
}

// mmap_lock is held, so the VMA stays.
PageRange HmmDevice::block_around(const Mirror& mirror, Vpn page) const {
  const std::uint64_t first = page.value - page.value % config_.fault_pages;
  const PageRange block{{first}, {first + config_.fault_pages}};
  const Vma vma = mirror.mm.vma_at(page);
  const PageRange within = block.intersect(vma.pages).intersect(mirror.pages);
  return within.contains(page) ? within : one_page(page);
}

// ebusy: an invalidation came since the sequence was read.
Errno HmmDevice::fill(Mirror& mirror, const RangeFault& range) {
  bool again = false;
  if (!protocol_.retry_under_lock) again = mms_.notifier.read_retry(mirror, range.sequence);
  mirror.lock.lock();
  if (!mirror.open) {  // given up meanwhile
    mirror.lock.unlock();
    return Errno::esrch;
  }
  if (protocol_.retry_check && protocol_.retry_under_lock) again = mms_.notifier.read_retry(mirror, range.sequence);
  if (!protocol_.fill_under_lock) mirror.lock.unlock();
  for (Vpn page = range.pages.first; !again && page < range.pages.end; page = page + 1) {
    const RangePage& found = range.found[page - range.pages.first];
    if (found.valid)
      hardware.enter(mirror.table, page, found.frame, found.writable || !protocol_.write_only_if_pte_writable);
  }
  if (protocol_.fill_under_lock) mirror.lock.unlock();
  return again ? Errno::ebusy : Errno::ok;
}

// --- the rest --------------------------------------------------------------------------------------

const std::vector<CounterRow>& hmm_counter_rows() {
  static const std::vector<CounterRow> rows = {
      {"hits", "count", "Accesses that found their entry."},
      {"faults", "count", "Misses, each counted once however often it was retried."},
      {"retries", "count", "Faults that had to begin again."},
      {"walks_interrupted", "count",
       "Of these, those in which the sequence moved while pages were still being faulted."},
      {"errors", "count", "Misses that ended with an error."},
      {"timeouts", "count", "Of these, those that had begun again for too long."},
      {"entered", "count", "Entries written."},
      {"dropped", "count", "Entries dropped or replaced."},
      {"invalidations", "count", "Invalidations that the driver heard of."},
      {"refused", "count", "Of these, those it refused because its lock was held and it might not block."},
      {"valid_entries", "count", "Entries in the device's page tables now."},
  };
  return rows;
}

std::vector<CounterRow> HmmDevice::counters() const {
  const std::uint64_t values[] = {
      hardware.hits,           counters_.faults,   counters_.retries,       counters_.walks_interrupted,
      counters_.errors,        counters_.timeouts, hardware.entered,        hardware.dropped,
      counters_.invalidations, counters_.refused,  hardware.valid_entries()};
  std::vector<CounterRow> rows = hmm_counter_rows();
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].value = static_cast<std::int64_t>(values[i]);
  return rows;
}

void HmmDevice::set_without(const std::vector<std::string>& rules) {
  protocol_ = {};
  for (const std::string& rule : rules)
    if (!protocol_.switch_off(rule)) throw std::logic_error("no protocol rule " + rule);
}

void HmmDevice::reset() {
  for (const auto& mirror : mirrors_) mirror->forget_registration();
  mirrors_.clear();
  hardware.reset();
  next_fault_ = 1;
  counters_ = {};
}

}  // namespace secmmu
