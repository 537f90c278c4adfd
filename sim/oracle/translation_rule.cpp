#include "sim/oracle/translation_rule.hpp"

#include <fmt/format.h>

namespace secmmu {

std::string text_of(Pfn pfn) { return pfn == kNoPfn ? "nothing" : fmt::format("frame {:#x}", pfn.value); }

void tell_range(Story& story, const Ledger& ledger, const Range& range, Holder holder) {
  const std::string mm = ledger.mm_text(range.mm);
  const std::string& during = ledger.text(range.during);
  story.tell(range.announced,
             fmt::format("announced invalidation {} of {} {} ({}{}{})", range.id, mm, to_text(range.pages),
                         invalidate_event_name(range.event), during.empty() ? "" : ", in ", during));
  if (!holder.is_core()) {
    const std::string device = ledger.text(holder);
    const Range::Call* call = range.call_of(holder.value);
    if (call != nullptr) {
      story.tell(call->begin, fmt::format("called {}'s start for invalidation {}", device, range.id));
      story.tell(call->end, fmt::format("{}'s start returned {}", device, errno_name(call->result)));
    } else {
      story.tell(range.told, fmt::format("every subscriber has been told of invalidation {}; nobody called a start "
                                         "of {}",
                                         range.id, device));
    }
  }
  story.tell(range.ended, range.state == Range::State::refused
                              ? fmt::format("invalidation {} was refused: nothing changes", range.id)
                              : fmt::format("invalidation {} was closed", range.id));
}

void tell_registration(Story& story, const Ledger& ledger, Holder holder, std::uint32_t mm) {
  if (holder.is_core()) return;
  const std::string device = ledger.text(holder);
  const Registration* last = nullptr;
  for (const Registration& registration : ledger.registrations())
    if (registration.device == holder.value && registration.mm == mm) last = &registration;
  if (last == nullptr) return;
  story.tell(last->registered, fmt::format("{} was put into {}'s list", device, ledger.mm_text(mm)));
  story.tell(last->unregister_begun, fmt::format("{}'s driver asked to be unregistered", device));
  story.tell(last->unlinked,
             fmt::format("{} was taken out of {}'s list: nobody tells it any more", device, ledger.mm_text(mm)));
  story.tell(last->unregistered, fmt::format("unregister of {} returned", device));
  story.tell(last->freed, fmt::format("the subscription of {} was freed", device));
}

void tell_translation(Story& story, const Ledger& ledger, const Translation& t) {
  const std::string holder = ledger.text(t.holder);
  const std::string address = to_text(address_of(t.vpn));
  const Frame& frame = *ledger.frame(t.pfn);
  const FramePast& past = ledger.past(t.pfn);
  story.tell(t.filled, fmt::format("{} took the translation {} {} -> {}, {}", holder, ledger.mm_text(t.mm), address,
                                   text_of(t.pfn), t.writable ? "writable" : "read only"));
  tell_registration(story, ledger, t.holder, t.mm);

  const Page& page = ledger.page_of(t);
  const Weakening& change = ledger.weakened(page);
  if (change.moment.happened()) {
    if (const Range* range = ledger.range(change.range_id)) tell_range(story, ledger, *range, t.holder);
    story.tell(change.moment,
               fmt::format("changed the PTE of {} ({}): from {}{} to {}{}{}", address, ledger.text(change.why),
                           text_of(change.old_pfn), change.old_writable ? ", writable" : "", text_of(change.new_pfn),
                           change.new_pfn != kNoPfn && change.new_writable ? ", writable" : "",
                           change.range_id == 0 ? ", outside every invalidation" : ""));
  }
  if (const Attachment* attachment = t.holder.is_core() ? nullptr : ledger.attachment(t.holder.value, t.mm))
    for (const Attachment::Callback& recent : attachment->recent) {
      if (!recent.begin.happened() || !recent.pages.contains(t.vpn)) continue;
      if (change.moment.happened() && recent.begin.number < change.moment.number) continue;
      story.tell(recent.begin,
                 fmt::format("called {}'s {} for {}", holder, callback_name(recent.callback), to_text(recent.pages)));
      story.tell(recent.end, fmt::format("{}'s {} returned", holder, callback_name(recent.callback)));
    }
  if (past.freed.happened() &&
      (!change.moment.happened() || past.freed.number > change.moment.number || past.freed.number > t.filled.number)) {
    story.tell(past.freed, fmt::format("gave {} back to the allocator", text_of(t.pfn)));
    if (frame.used && past.allocated.number > past.freed.number)
      story.tell(past.allocated, fmt::format("gave {} to {} ({}), allocation {}", text_of(t.pfn),
                                             ledger.text(past.owner), ledger.text(past.use), frame.allocation));
  }
  if (t.breach != Breach::none && t.broken.number != t.filled.number)
    story.tell(t.broken, fmt::format("from here on {} should not have had the translation", holder));
}

void TranslationRule::listen(Bus& bus) {
  bus.listen<DeviceMarkedAccess>(
      [this](const DeviceMarkedAccess& e, const Stamp& stamp) { used(e.ghost, e.address, e.write, e.value, stamp); });
  bus.listen<CpuMarkedAccess>(
      [this](const CpuMarkedAccess& e, const Stamp& stamp) { used(e.ghost, e.address, e.write, e.value, stamp); });
}

void TranslationRule::used(const Ghost* ghost, VirtAddr address, bool write, std::uint64_t value, const Stamp& stamp) {
  if (ghost == nullptr || (ghost->word & Ghost::kIllegal) == 0) return;  // somebody else watches this page
  const Translation* translation = ledger_.find(ghost);
  if (translation == nullptr || ledger_.breach_of(*translation, write) != breach_) return;
  translation->reported = true;
  report(*translation, stamp, fmt::format("{} {:#x}", write ? "wrote" : "read", value), address);
}

// No task runs in an address space that is being torn down, so what cores still hold of it is out of reach.
bool TranslationRule::unreachable(const Translation& translation) const {
  if (!translation.holder.is_core()) return false;
  const Mm* mm = ledger_.mm(translation.mm);
  return mm != nullptr && mm->release_begun.happened();
}

void TranslationRule::broken(const Translation& translation, const Stamp& stamp) {
  if (!reports_.options().strict || translation.breach != breach_ || unreachable(translation)) return;
  translation.reported = true;
  report(translation, stamp, {}, address_of(translation.vpn));
}

void TranslationRule::gone(const Translation& translation) {
  if (translation.reported || translation.breach != breach_ || unreachable(translation)) return;
  reports_.finding(info_, {translation.holder.value, translation.mm, translation.vpn.value}, translation.broken.at,
                   [&] {
                     return fmt::format("{} held, unused, {} of {}: {}", ledger_.text(translation.holder),
                                        to_text(address_of(translation.vpn)), ledger_.mm_text(translation.mm),
                                        what_is_wrong(translation));
                   });
}

void TranslationRule::report(const Translation& translation, const Stamp& stamp, const std::string& deed,
                             VirtAddr address) {
  const Reports::Place place{translation.holder.value, translation.mm, translation.vpn.value};
  reports_.violation(info_, place, stamp, [&](Violation& violation, Story& story) {
    violation.device = ledger_.text(translation.holder);
    violation.mm = ledger_.mm_text(translation.mm);
    violation.pages = one_page(translation.vpn);
    const std::string verb = deed.substr(0, deed.find(' '));
    violation.summary = deed.empty() ? fmt::format("{} still holds {} of {} through {}", violation.device,
                                                   to_text(address), violation.mm, what_is_wrong(translation))
                                     : fmt::format("{} {} {} of {} through {}", violation.device, verb,
                                                   to_text(address), violation.mm, what_is_wrong(translation));
    tell_translation(story, ledger_, translation);
    if (!deed.empty())
      story.tell(moment_of(stamp), fmt::format("{} {} at {}, which is in {}", violation.device, deed, to_text(address),
                                               text_of(translation.pfn)));
    story.tell_locks();
  });
}

}  // namespace secmmu
