// The contract of a list subscriber, as a suite that any implementation of the callbacks can be put through:
// every kernel on which it could hear of an invalidation, many seeds, page tables that the suite writes, and the
// notifier core that everybody has. What comes back is a list of breaches; a device that keeps the contract has none.
// Needs no test framework. docs/foreign-device.md shows it in use.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/contract/surroundings.hpp"
#include "notifier/list_subscription.hpp"

namespace secmmu::contract {

// Reads the page table as a driver may: takes a while, may sleep, and what it found may have changed by the time it
// returns. Takes the page-table lock meanwhile, so nobody calls it with a lock that a callback takes.
using Look = std::function<PageEntry(Vpn)>;

// What the implementer of a device supplies. One object per play; it goes when the play is over, after all tasks
// have been stopped where they stood. `mm` is one of Surroundings::mm.
class SubscriberUnderTest {
 public:
  virtual ~SubscriberUnderTest() = default;

  // As its subscriptions say.
  virtual std::string_view name() const = 0;
  virtual CallbackSet callbacks() const = 0;

  // Registers on the address space. Once per space at a time, and again after a close. The caller holds mm_users.
  // May sleep.
  virtual Errno open(AddressSpace& mm) = 0;
  // Unregisters; may come while the address space ends, and after. When it returns nothing is held, and the callbacks
  // have ended or will when those that run have. May sleep.
  virtual void close(AddressSpace& mm) = 0;
  // Takes a translation by its own protocol, as a miss of the device would. False: there is no such entry, the entry
  // does not allow writing, or the device is not (or no longer) registered there. Called in any number of tasks at
  // once, of which each runs on a core. May sleep.
  virtual bool map(AddressSpace& mm, Vpn page, bool write, const Look& look) = 0;
  // The translation that the device would use now; none if it would miss. No scheduling point.
  virtual PageEntry held(AddressSpace& mm, Vpn page) const = 0;
  // One use of a translation that is held, such that ageing finds it young. Called only if it has such callbacks.
  virtual void use(AddressSpace&, Vpn) {}

  // False: it only reads, so it is never asked to map for writing.
  virtual bool writes() const { return true; }
  // False: it may not be asked for an invalidation that must not block (v4.19 on). No driver of Linux is free to say
  // so.
  virtual bool takes_non_blockable() const { return true; }
  // False: an invalidation may take more from it than what it covers (a device that can only drop all of a space).
  virtual bool drops_only_what_it_must() const { return true; }
};
using SubscriberFactory = std::function<std::unique_ptr<SubscriberUnderTest>(Surroundings&)>;

// A rule of the contract, by its plain name.
struct Rule {
  std::string_view name;
  std::string_view sentence;
};
const std::vector<Rule>& rules();

// The first thing that went wrong in one scene on one kernel; what follows from it in the same play is not told.
struct Breach {
  std::string kernel;
  std::uint64_t seed = 0;
  std::string scene;
  std::string rule;
  Time at;
  std::string sentence;
};
std::string to_text(const Breach& breach);

struct Options {
  std::vector<std::string> kernels;  // empty: all that are known
  std::uint64_t seeds = 2000;        // plays on each kernel; each scene gets its share, and at least one
  std::vector<std::string> without;  // rules that are not asked for
};

// Inside a simulation, in the director's thread. Takes the listeners and the strategy of the machine away.
std::vector<Breach> run_contract(Surroundings& surroundings, const SubscriberFactory& make,
                                 const Options& options = {});
// Where there is no machine yet: in sc_main, once per process (SystemC allows no second).
std::vector<Breach> run_contract(const SubscriberFactory& make, const Options& options = {});

}  // namespace secmmu::contract
