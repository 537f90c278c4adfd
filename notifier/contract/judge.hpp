// Listens to one play and says what broke the contract. What events cannot tell (an entry is about to change, a close
// has returned) the scenes say.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "notifier/contract/contract.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"

namespace secmmu::contract {

class Judge {
 public:
  Judge(Surroundings& surroundings, const std::vector<std::string>& without);

  // From here on; the listeners stay until the machine drops them.
  void watch(SubscriberUnderTest& device);
  const std::optional<Breach>& first() const { return first_; }
  void breach(std::string_view rule, std::string sentence);

  // --- what the scenes say ---
  void opening(AddressSpace& mm);
  void leaving(AddressSpace& mm);  // a close begins: from here on the device need not be told
  void closed(AddressSpace& mm);   // close has returned
  void silent(AddressSpace& mm);   // and whoever was being called has left
  bool open(AddressSpace& mm) const { return bond(mm) == Bond::open; }
  bool gone(AddressSpace& mm) const;  // closed, or released and not opened again
  unsigned openings(AddressSpace& mm) { return space(mm.id()).openings; }
  void tell_never_blocks(bool value) { never_blocks_ = value; }
  // Between these two an entry may differ from what is held. `rule` is broken by who is stale from then on.
  void changing(AddressSpace& mm, PageRange pages);
  void changed(AddressSpace& mm, PageRange pages, std::string_view rule);

  // --- questions; no scheduling points ---
  // Whether what is held of these pages agrees with the page table.
  void ask_fresh(AddressSpace& mm, PageRange pages, std::string_view after);
  void ask_nothing_held(AddressSpace& mm, PageRange pages, std::string_view rule, std::string_view when);
  void ask_gone(AddressSpace& mm);  // if it is gone, that it has stayed so

  PageRange window() const { return {surroundings_.first_page(), surroundings_.first_page() + Surroundings::kPages}; }
  std::string text_of(AddressSpace& mm, Vpn page) const;

 private:
  enum class Bond { closed, open, leaving };
  struct History {                              // of a page
    unsigned changing = 0;                      // by so many
    std::string_view told = "stale-after-end";  // how its last change was told
  };
  struct Space {
    Bond bond = Bond::closed;
    bool released = false;  // release has returned, or the end of the space has
    bool silent = false;
    unsigned openings = 0;
    std::map<Vpn, History> pages;
  };
  struct Found {  // what a callback found when it began
    Task::Context context;
    Callback callback;
    bool blockable;
  };

  Bond bond(AddressSpace& mm) const;
  Space& space(std::uint32_t mm_id) { return spaces_[mm_id]; }
  AddressSpace* mm_of(std::uint32_t mm_id);
  const Task& task(const Stamp& stamp) const { return *surroundings_.arbiter().tasks().at(stamp.task); }
  bool ours(std::string_view subscriber) const { return device_ != nullptr && subscriber == device_->name(); }
  void begun(const CallbackBegin& event, const Stamp& stamp);
  void returned(const CallbackEnd& event, const Stamp& stamp);
  void judge_answer(const CallbackEnd& event, bool blockable);
  void slept(const SleptInAtomic& event, const Stamp& stamp);
  void space_ended(AddressSpace& mm);
  bool excused(std::string_view rule) const;

  Surroundings& surroundings_;
  const std::vector<std::string>& without_;
  SubscriberUnderTest* device_ = nullptr;
  CallbackSet has_;
  bool never_blocks_ = false;
  std::map<std::uint32_t, Space> spaces_;
  std::map<unsigned, std::vector<Found>> running_;  // by task
  std::map<std::uint64_t, bool> blockable_;         // by range
  std::optional<Breach> first_;
};

}  // namespace secmmu::contract
