// What a scene is written in: tasks at random moments, the device's side of a play, and the memory manager's.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "notifier/contract/judge.hpp"
#include "notifier/substrate/random.hpp"

namespace secmmu::contract {

class Stage {
 public:
  Stage(Surroundings& surroundings, KernelVersion kernel, std::uint64_t seed, std::string_view scene,
        const SubscriberFactory& make, const std::vector<std::string>& without);
  ~Stage();

  // The device can hear of invalidations on this kernel.
  bool has_a_hook() const;
  // These bodies as tasks at once, to their end; may come again. A breach if somebody gets stuck.
  using Body = std::function<void()>;
  void play(std::vector<Body> bodies);

  // --- for everybody ---
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  bool once_in(std::uint64_t n) { return below(n) == 0; }
  void pause(std::uint64_t most_ns);  // takes up to that long
  AddressSpace& mm(unsigned space = 0) { return surroundings.mm(space); }
  Vpn page(std::uint64_t number) const { return surroundings.first_page() + number; }
  Vpn any_page() { return page(once_in(2) ? hot_page_ : below(Surroundings::kPages)); }
  PageRange any_range();

  // --- the device's side ---
  void open(AddressSpace& mm);
  void close(AddressSpace& mm);
  void wait_until_silent(AddressSpace& mm);  // after close: callbacks that ran have left
  void map(AddressSpace& mm, Vpn page, bool write);
  void map_at_random(unsigned times, unsigned space = 0);
  void map_everything(AddressSpace& mm);          // for reading, where the page table has something
  std::vector<Vpn> held(AddressSpace& mm) const;  // the pages of which it has translations now
  void ask_for_progress(AddressSpace& mm);        // with nobody else about: what is there can be mapped

  // --- the memory manager's side ---
  void fill(AddressSpace& mm);  // every entry is there; nobody has to be told of that
  // One invalidation as an operation makes it: start, fresh entries or none, a flush of secondary TLBs, end. False: it
  // was refused. `within` runs while it is open, before entries change.
  bool invalidate(AddressSpace& mm, PageRange pages, bool blockable = true, const Body& within = {});
  void protect(AddressSpace& mm, PageRange pages);  // the same frames, for reading only
  void reclaim(AddressSpace& mm, Vpn page);         // up to v4.12: one entry goes outside any range
  void replace(AddressSpace& mm, Vpn page);         // copy-on-write, as the kernel tells of it

  Surroundings& surroundings;
  Arbiter& arbiter;
  NotifierCore& core;
  const NotifierBehaviour& kernel;
  Judge judge;
  std::unique_ptr<SubscriberUnderTest> device;

 private:
  using Change = std::function<PageEntry(PageEntry)>;
  PageEntry fresh_entry();
  PageEntry look(AddressSpace& mm, Vpn page);
  bool change(AddressSpace& mm, PageRange pages, InvalidateEvent event, bool blockable, const Change& how,
              const Body& within);
  void enter_all(AddressSpace& mm, PageRange pages, const Change& how);
  void flush_secondary(AddressSpace& mm, PageRange pages);

  RandomStream random_;
  std::vector<Task*> actors_;
  std::uint64_t next_frame_ = 0;
  std::uint64_t hot_page_ = 0;  // where everybody meets
};

}  // namespace secmmu::contract
