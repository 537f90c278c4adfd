#include "sim/run/lackey_program.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "sim/run/program.hpp"
#include "sim/scenario/lackey_reader.hpp"

namespace secmmu {

// Here, where a MirrorFeed is a complete type.
World::World(Platform& the_platform, const Scenario& the_scenario)
    : platform(the_platform),
      scenario(the_scenario),
      meetings(the_platform.arbiter, the_scenario, [&the_platform](const std::string& name) {
        return calls(the_platform.notifier->behaviour(), callback_named(name));
      }) {}
World::~World() = default;

// --- the mirror ----------------------------------------------------------------------------------------

MirrorFeed::MirrorFeed(Arbiter& arbiter) : changed_(arbiter, "mirror") { batch_.reserve(kBatch); }

void MirrorFeed::push(VirtAddr address, unsigned bytes, bool write, std::uint64_t value) {
  batch_.push_back({address, value, bytes, write});
  if (batch_.size() < kBatch) return;
  changed_.wait_until([this] { return !busy_; }, "the mirror to repeat the batch before");
  working_.swap(batch_);
  busy_ = true;
  changed_.wake_all();
}

void MirrorFeed::drain() {
  changed_.wait_until([this] { return !busy_; }, "the mirror to repeat the batch before");
  if (batch_.empty()) return;
  working_.swap(batch_);
  busy_ = true;
  changed_.wake_all();
  changed_.wait_until([this] { return !busy_; }, "the mirror to repeat the last batch");
}

void MirrorFeed::close() {
  drain();
  closed_ = true;
  changed_.wake_all();
}

void MirrorFeed::repeat(Device& device, unsigned context, Mm& mm) {
  for (;;) {
    changed_.wait_until([this] { return busy_ || closed_; }, "a batch to repeat");
    if (!busy_) return;
    for (const Access& access : working_) {
      std::uint64_t value = access.value;
      if (device.access(context, mm, access.address, access.bytes, access.write, value) != Errno::ok) ++failed_;
    }
    working_.clear();
    busy_ = false;
    changed_.wake_all();
  }
}

// --- the player ------------------------------------------------------------------------------------------

namespace {

constexpr std::uint64_t kUserEnd = 1ULL << 47;
constexpr std::uint64_t kMapAnonymous = 0x20;
constexpr std::uint64_t kMapShared = 0x01;
constexpr std::uint64_t kDontNeed = 4;

struct Player {
  ActorProgram& program;
  Mm& mm;
  Core& core;
  MirrorFeed* mirror;
  std::uint64_t made_up = 0;        // stores whose value is ours
  std::uint64_t first_touch = 0;    // pages mapped because exec had mapped them before
  std::uint64_t file_mappings = 0;  // now private anonymous
  std::uint64_t rights_raised = 0;  // accesses that the recording made and the rights forbade
  std::uint64_t outside = 0;        // beyond the user half
  std::uint64_t refused = 0;        // calls that succeeded in the recording and fail here
  std::uint64_t advice_skipped = 0;

  static Rights rights(std::uint64_t protection) {
    return {(protection & 1) != 0, (protection & 2) != 0, (protection & 4) != 0};
  }

  void map_range(PageRange range) {
    MmapRequest request;
    request.at = address_of(range.first);
    request.fixed = true;
    request.pages = range.pages();
    request.rights = {true, true, true};
    VirtAddr at{0};
    if (mmap(mm, request, at) == Errno::ok) first_touch += range.pages();
  }

  // Maps the holes of a range that the recording takes to be mapped.
  void map_holes(PageRange range) {
    Vpn next = range.first;
    for (const Vma& vma : mm.vmas_in(range)) {
      if (next < vma.pages.first) map_range({next, vma.pages.first});
      next = vma.pages.end;
    }
    if (next < range.end) map_range({next, range.end});
  }

  void touch(VirtAddr address, std::uint64_t bytes, bool write) {
    if (address.value >= kUserEnd || bytes > kUserEnd - address.value) {
      ++outside;
      return;
    }
    // Wide accesses (vector registers, saved states) count as one, of their first eight bytes; the page
    // after them is touched as well if they reach into it.
    const std::uint64_t to_border = kPageSize - address.offset();
    one(address, static_cast<unsigned>(std::min<std::uint64_t>({bytes, 8, to_border})), write);
    for (std::uint64_t done = to_border; done < bytes; done += kPageSize)
      one(address + done, static_cast<unsigned>(std::min<std::uint64_t>(bytes - done, 8)), write);
  }

  void one(VirtAddr address, unsigned bytes, bool write) {
    std::uint64_t value = write ? ++made_up : 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
      const AccessResult result = write ? core.write(address, bytes, value) : core.read(address, bytes, value);
      if (result == AccessResult::ok) break;
      const Vma vma = mm.vma_at(address.page());
      if (vma.pages.empty()) {
        map_range(one_page(address.page()));
      } else {
        ++rights_raised;
        mprotect(mm, one_page(address.page()), {true, true, true});
      }
    }
    if (mirror != nullptr && mirrored) mirror->push(address, bytes, write, value);
  }
  bool mirrored = false;  // the access at hand is of data

  void call(const LackeyRecord& record) {
    if (mirror != nullptr) mirror->drain();
    Errno result = Errno::ok;
    VirtAddr at{0};
    const PageRange range = pages_of(record.address, record.bytes);
    switch (record.kind) {
      case LackeyKind::mmap: {
        MmapRequest request;
        request.at = record.result;
        request.fixed = true;
        request.pages = pages_of(record.result, record.bytes).pages();
        request.rights = rights(record.protection);
        const bool anonymous = (record.flags & kMapAnonymous) != 0;
        request.shared = anonymous && (record.flags & kMapShared) != 0;
        if (!anonymous) ++file_mappings;
        result = mmap(mm, request, at);
        break;
      }
      case LackeyKind::munmap:
        result = munmap(mm, range);
        break;
      case LackeyKind::mprotect:
        map_holes(range);
        result = mprotect(mm, range, rights(record.protection));
        break;
      case LackeyKind::mremap: {
        map_holes(range);
        MremapRequest request;
        request.from = range;
        request.new_pages = pages_of(record.result, record.new_bytes).pages();
        if (record.result != record.address) {
          request.fixed = true;
          request.to = record.result;
        }
        result = mremap(mm, request, at);
        break;
      }
      case LackeyKind::brk:
        if (mm.brk_start.value == 0) {
          // The first call asks where the heap is.
          mm.brk_start = record.result;
          mm.brk_end = record.result;
        } else {
          result = brk(mm, record.result, at);
        }
        break;
      case LackeyKind::madvise:
        if (record.advice == kDontNeed) {
          map_holes(range);
          result = madvise_dontneed(mm, range);
        } else {
          ++advice_skipped;
        }
        break;
      default:
        break;
    }
    if (result != Errno::ok) ++refused;
  }
};

}  // namespace

void play_lackey(ActorProgram& program) {
  World& world = program.world;
  MirrorFeed* mirror = nullptr;
  if (const auto it = world.mirrors.find(program.actor.name); it != world.mirrors.end()) mirror = it->second.get();
  Player player{program, *program.process->mm, *program.core, mirror};
  try {
    LackeyReader reader(program.actor.lackey);
    LackeyRecord record;
    std::uint64_t until_progress = 0;
    while (!program.told_to_end() && reader.next(record)) {
      switch (record.kind) {
        case LackeyKind::fetch:
          player.mirrored = false;
          player.touch(record.address, record.bytes, false);
          break;
        case LackeyKind::load:
          player.mirrored = true;
          player.touch(record.address, record.bytes, false);
          break;
        case LackeyKind::store:
          player.mirrored = true;
          player.touch(record.address, record.bytes, true);
          break;
        case LackeyKind::modify:
          player.mirrored = true;
          player.touch(record.address, record.bytes, false);
          player.touch(record.address, record.bytes, true);
          break;
        default:
          player.call(record);
          break;
      }
      if (world.progress && ++until_progress == 500'000) {
        until_progress = 0;
        const std::uint64_t total = reader.bytes_total();
        fmt::print(stderr, "\r{}: {} lines{}", program.actor.name, reader.line(),
                   total == 0 ? "" : fmt::format(", {}%", reader.bytes_read() * 100 / total));
        std::fflush(stderr);
      }
    }
    if (world.progress) fmt::print(stderr, "\r{:60}\r", "");
    const LackeyCounts& counts = reader.counts();
    const std::string prefix = program.actor.name + ".";
    world.counters[prefix + "lines"] = counts.lines;
    world.counters[prefix + "accesses"] = counts.accesses();
    world.counters[prefix + "mm_calls"] = counts.calls();
    world.counters[prefix + "skipped_calls"] = counts.skipped_calls();
    world.counters[prefix + "failed_calls"] = counts.failed_calls();
    world.counters[prefix + "made_up_values"] = player.made_up;
    world.counters[prefix + "file_mappings"] = player.file_mappings;
    world.counters[prefix + "mapped_on_first_touch"] = player.first_touch;
    world.counters[prefix + "rights_raised"] = player.rights_raised;
    world.counters[prefix + "outside_user_half"] = player.outside;
    world.counters[prefix + "refused_calls"] = player.refused;
    world.counters[prefix + "advice_skipped"] = player.advice_skipped;
  } catch (const LackeyError& error) {
    // An exception may not leave a task: the run ends here, and the program says why.
    world.input_error = error.what();
    world.platform.arbiter.request_stop();
  }
  if (mirror != nullptr) {
    mirror->close();
    world.counters[program.actor.name + ".mirror_failed"] = mirror->failed();
  }
}

}  // namespace secmmu
