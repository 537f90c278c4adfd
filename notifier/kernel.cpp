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
  if (!take(text, '.') || !take_number(text, version.patch)) return std::nullopt;
  if (!text.empty() || version.patch == 0) return std::nullopt;
  return version;
}

std::string to_text(KernelVersion version) {
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

const std::vector<KernelEntry>& known_kernels() {
  static const std::vector<KernelEntry> kernels{
      {"v3.2",
       {3, 2, 0},
       "Callbacks run under RCU and may not sleep; the end of an mm and unregister unlink a subscriber before they "
       "release it, so an invalidation in between reaches nobody."},
      {"v6.10",
       {6, 10, 0},
       "Callbacks run under one global SRCU domain; subscribers are released before they are unlinked, a start may be "
       "refused where it must not block, and subscriptions can be shared by get and put."},
  };
  return kernels;
}

}  // namespace secmmu
