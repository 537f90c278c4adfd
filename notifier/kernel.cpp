#include "notifier/kernel.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include <fmt/format.h>

namespace secmmu {

namespace {

// Reads one number without leading zeros off the front of `text`.
bool take_number(std::string_view& text, unsigned& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const auto digits = static_cast<std::size_t>(stop - text.data());
  if (error != std::errc{} || (digits > 1 && text.front() == '0')) return false;
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

void check(const Change& change, const Parameter* row) {
  const auto refuse = [&change](std::string_view why) {
    throw std::logic_error(
        fmt::format("change {} of {}: behaviour '{}' {}", change.commit, to_text(change.since), change.behaviour, why));
  };
  if (row == nullptr) return refuse("is in no table");
  if (row->fallback.index() != change.value.index()) return refuse("has another type");
  const std::string* word = std::get_if<std::string>(&change.value);
  if (word != nullptr && std::find(row->choices.begin(), row->choices.end(), *word) == row->choices.end())
    refuse(fmt::format("cannot be '{}'", *word));
}

}  // namespace

std::optional<KernelVersion> parse_kernel_version(std::string_view text) {
  KernelVersion version;
  if (!take(text, 'v') || !take_number(text, version.major)) return std::nullopt;
  if (!take(text, '.') || !take_number(text, version.minor)) return std::nullopt;
  if (text.empty()) return version;
  if (text == "-rc") {
    version.released = false;
    return version;
  }
  if (!take(text, '.') || !take_number(text, version.patch)) return std::nullopt;
  if (!text.empty() || version.patch == 0) return std::nullopt;
  return version;
}

std::string to_text(KernelVersion version) {
  if (!version.released) return fmt::format("v{}.{}-rc", version.major, version.minor);
  return version.patch == 0 ? fmt::format("v{}.{}", version.major, version.minor)
                            : fmt::format("v{}.{}.{}", version.major, version.minor, version.patch);
}

void apply_changes(const std::vector<Change>& changes, const ParameterRows& behaviour_rows, KernelVersion version,
                   void* behaviour) {
  std::vector<const Change*> in_order;
  in_order.reserve(changes.size());
  for (const Change& change : changes) {
    check(change, behaviour_rows.find(change.behaviour));  // of all, so that a wrong row shows in every kernel
    if (change.since <= version) in_order.push_back(&change);
  }
  std::stable_sort(in_order.begin(), in_order.end(),
                   [](const Change* a, const Change* b) { return a->since < b->since; });
  for (const Change* change : in_order) behaviour_rows.find(change->behaviour)->set(behaviour, change->value);
}

std::optional<KernelVersion> find_kernel(std::string_view name) {
  for (const KernelEntry& entry : known_kernels())
    if (entry.name == name) return entry.version;
  return parse_kernel_version(name);
}

const std::vector<KernelEntry>& known_kernels() {
  static const std::vector<KernelEntry> kernels{
      {"v2.6.27", {2, 6, 27}, "The first with notifiers: RCU sections, six callbacks, unlink before release."},
      {"v3.2",
       {3, 2, 0},
       "Callbacks run under RCU and may not sleep; the end of an mm and unregister unlink a subscriber before they "
       "release it, so an invalidation in between reaches nobody. change_pte and test_young have come."},
      {"v3.5.6",
       {3, 5, 6},
       "A stable kernel with the fix of v3.6: released before unlinked, but unregister may now delete twice."},
      {"v3.7", {3, 7, 0}, "SRCU, so that callbacks may sleep; for one release, allocation under all locks."},
      {"v3.9", {3, 9, 0}, "For one release, unlink before release again."},
      {"v3.15", {3, 15, 0}, "Released before unlinked for good; a second deletion is harmless, a second release legal."},
      {"v4.13-rc",
       {4, 13, 0, false},
       "A candidate in which write-back and reclaim called invalidate_range instead of invalidate_page, which most "
       "drivers do not have."},
      {"v4.14", {4, 14, 0}, "invalidate_page is gone; the out-of-memory reaper keeps away from subscribers."},
      {"v4.16", {4, 16, 0}, "Subscribers say once for all whether they block, and the reaper asks."},
      {"v4.19", {4, 19, 0}, "Each start says whether it may block, and may be refused, but nobody undoes the others'."},
      {"v5.5",
       {5, 5, 0},
       "Interval subscriptions, with the first version's mistakes; shared subscriptions by get and put."},
      {"v6.1", {6, 1, 0}, "The kernel of the recordings: a refused start is undone, intervals are mended."},
      {"v6.4.0", {6, 4, 0}, "Faults under per-VMA locks, which a registration does not exclude before v6.5."},
      {"v6.10",
       {6, 10, 0},
       "Callbacks run under one global SRCU domain; subscribers are released before they are unlinked, a start may be "
       "refused where it must not block, devices that share the CPUs' tables are told with each TLB flush, and "
       "change_pte is gone."},
  };
  return kernels;
}

}  // namespace secmmu
