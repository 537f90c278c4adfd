// What the three rules about translations that outlived their PTE have in common. They differ in what is
// wrong with the translation when it is used; when it has become wrong is in the ledger's anchors.
#pragma once

#include <string>

#include "sim/oracle/rule.hpp"

namespace secmmu {

class TranslationRule : public Rule {
 public:
  TranslationRule(const RuleInfo& info, Ledger& ledger, Reports& reports, Breach breach)
      : Rule(info, ledger, reports), breach_(breach) {}

  void listen(Bus& bus) override;
  void broken(const Translation& translation, const Stamp& stamp) override;
  void gone(const Translation& translation) override;

 protected:
  // The end of "gru0 wrote 0x1000 of app through ...".
  virtual std::string what_is_wrong(const Translation& translation) const = 0;

 private:
  void used(const Ghost* ghost, VirtAddr address, bool write, std::uint64_t value, const Stamp& stamp);
  void report(const Translation& translation, const Stamp& stamp, const std::string& deed, VirtAddr address);
  bool unreachable(const Translation& translation) const;

  Breach breach_;
};

// How a translation came to be, and what happened to its page and its frame since.
void tell_translation(Story& story, const Ledger& ledger, const Translation& translation);
// The invalidation as far as it concerns the device: announced, called, told, closed.
void tell_range(Story& story, const Ledger& ledger, const Range& range, Holder holder);
// Whether and when the device was in the list of the address space.
void tell_registration(Story& story, const Ledger& ledger, Holder holder, std::uint32_t mm);

std::string text_of(Pfn pfn);  // "frame 0x12", "nothing"

}  // namespace secmmu
