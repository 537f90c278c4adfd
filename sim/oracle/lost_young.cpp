// lost-young: a device that used a page says that it did not.
#include <map>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "sim/oracle/marks.hpp"
#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

// Looked at are the translations that a device had when it was asked after the page's age, as long as it has them.
class LostYoung final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& stamp) {
      if (clears(e.callback)) asked_[stamp.task] = moment_of(stamp);
    });
    bus.listen<CallbackEnd>([this](const CallbackEnd& e, const Stamp& stamp) {
      if (clears(e.callback)) answered(e, stamp);
    });
    bus.listen<DeviceMarkedAccess>([this](const DeviceMarkedAccess& e, const Stamp& stamp) { used(e, stamp); });
    bus.listen<DeviceDrop>([this](const DeviceDrop& e, const Stamp&) {
      if (!looked_at_.empty()) looked_at_.erase(e.ghost);
    });
  }

  void reset() override {
    asked_.clear();
    looked_at_.clear();
  }

 private:
  struct Look {
    Moment answered;
    Moment used;  // for the first time since then
    bool write = false;
  };

  static bool clears(Callback callback) {
    return callback == Callback::clear_flush_young || callback == Callback::clear_young;
  }

  // Rule: where a device has a table and copies of its entries in TLBs, only the table knows of uses. A copy that
  // outlives the question may be used without anybody's noticing; so it is in Linux. The table's was filled first.
  std::vector<const Translation*> originals(Names::Id device, std::uint32_t mm, PageRange pages) const {
    std::vector<const Translation*> list;
    for (Vpn vpn = pages.first; vpn < pages.end; vpn = vpn + 1) {
      const Page* page = ledger_.page(mm, vpn);
      if (page == nullptr) continue;
      const Translation* first = nullptr;
      for (std::uint32_t at = page->translations; at != kNobody; at = ledger_.translations()[at].page_next) {
        const Translation& one = ledger_.translations()[at];
        if (one.holder == Holder::device(device) && (first == nullptr || one.filled.number < first->filled.number))
          first = &one;
      }
      if (first != nullptr) list.push_back(first);
    }
    return list;
  }

  void answered(const CallbackEnd& e, const Stamp& stamp) {
    constexpr std::uint64_t kMostPages = 512;  // of one question: those of a huge page
    if (e.pages.pages() > kMostPages) return;
    const Moment asked = asked_[stamp.task];
    const Names::Id device = ledger_.names().id_of(e.subscriber);
    bool reported = e.young;
    for (const Translation* translation : originals(device, e.mm_id, e.pages)) {
      Look& look = looked_at_[translation->ghost];
      if (!reported && look.used.happened() && look.used.number < asked.number && translation->breach == Breach::none) {
        report(e, *translation, look, stamp);
        reported = true;
      }
      look = {moment_of(stamp), {}, false};
      translation->ghost->word |= kNextUse;
    }
  }

  void used(const DeviceMarkedAccess& e, const Stamp& stamp) {
    if ((e.ghost->word & kNextUse) == 0) return;
    e.ghost->word &= ~kNextUse;
    const auto look = looked_at_.find(e.ghost);
    if (look == looked_at_.end()) return;
    // While the device is being asked, the answer may or may not have it.
    look->second.used = moment_of(stamp);
    look->second.write = e.write;
  }

  void report(const CallbackEnd& e, const Translation& translation, const Look& look, const Stamp& stamp) {
    const Reports::Place place{translation.holder.value, translation.mm, translation.vpn.value};
    reports_.violation(info_, place, stamp, [&](Violation& violation, Story& story) {
      const std::string address = to_text(address_of(translation.vpn));
      violation.device = ledger_.text(translation.holder);
      violation.mm = ledger_.mm_text(translation.mm);
      violation.pages = one_page(translation.vpn);
      violation.summary = fmt::format("{} answered {} that {} of {} was not used; it had been, at {}", violation.device,
                                      callback_name(e.callback), address, violation.mm, to_text(look.used.at));
      tell_translation(story, ledger_, translation);
      story.tell(look.answered,
                 fmt::format("{} was asked after the age of {} for the last time before", violation.device, address));
      story.tell(look.used, fmt::format("{} {} {}", violation.device, look.write ? "wrote" : "read", address));
      story.tell(moment_of(stamp),
                 fmt::format("{} answered {}: not young", violation.device, callback_name(e.callback)));
    });
  }

  std::map<unsigned, Moment> asked_;  // by task: when its question began
  std::map<const Ghost*, Look> looked_at_;
};

}  // namespace

RuleRow lost_young_rule() {
  return {{"lost-young", "A device that had used a page answered that it had not, and the page ages as unused.",
           "A subscriber that answers questions after a page's age says yes if its device used the page, through a "
           "translation that it still has, since the question before.",
           R"(The kernel asked a subscriber whether a page had been used (clear_flush_young, clear_young), and it said
no, although its device had used the page since it was asked before, through a translation that it
still holds. The kernel takes the page for unused; when memory is short, it goes first.

Where it comes from. The accessed bit in the PTE tells of the CPU only. What a device does to a page
the kernel hears by these callbacks.

Where it is checked. After each answer the next use of each translation that the device has of the
page is noticed, and the next answer must be yes. A use while the device is being asked may be in
either answer. Copies of an entry in a TLB do not count: clear_young does not flush them.

The typical bug. The callback is there and always answers no; it looks at the first page of the range
only, or at one of several tables; it clears the bits without looking.

How to fix it. Look at the accessed bits of all entries in the range, in every table, and clear them. A
device without such bits drops the entries and answers yes, or has no such callback.

Legal, although it looks wrong: a device whose driver has none of these callbacks (GRU, drivers that
mirror by intervals): nothing of what it does makes a page young, and the kernel knows.)"},
          &make_rule<LostYoung>};
}

}  // namespace secmmu
