// Tracepoints of the substrate: tasks, cores, interrupts, locks, read sections.
#pragma once

#include <string>
#include <string_view>

#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

struct TaskStarted {
  static constexpr std::string_view kName = "task_start";
  static constexpr std::string_view kAbout = "A task began its program.";
  std::string_view task;
  template <class V>
  void describe(V& visit) const {
    visit("task", task);
  }
};
struct TaskFinished {
  static constexpr std::string_view kName = "task_finish";
  static constexpr std::string_view kAbout = "A task ended its program.";
  std::string_view task;
  template <class V>
  void describe(V& visit) const {
    visit("task", task);
  }
};
struct TaskWaits {
  static constexpr std::string_view kName = "task_wait";
  static constexpr std::string_view kAbout = "A task stopped until something happens; it sleeps, or spins on its core.";
  std::string_view task;
  std::string what;
  bool sleeps;
  template <class V>
  void describe(V& visit) const {
    visit("task", task);
    visit("for", what);
    visit("sleeps", sleeps);
  }
};
struct TaskGoesOn {
  static constexpr std::string_view kName = "task_go";
  static constexpr std::string_view kAbout = "A task that waited goes on.";
  std::string_view task;
  template <class V>
  void describe(V& visit) const {
    visit("task", task);
  }
};
struct CoreSwitched {
  static constexpr std::string_view kName = "core_switch";
  static constexpr std::string_view kAbout = "A core began to run another task; an empty name means that it went idle.";
  int core;
  std::string_view task;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("task", task);
  }
};
struct InterruptEntered {
  static constexpr std::string_view kName = "irq_entry";
  static constexpr std::string_view kAbout = "An interrupt began to run on top of the core's task.";
  int core;
  std::string_view interrupt;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("irq", interrupt);
  }
};
struct InterruptLeft {
  static constexpr std::string_view kName = "irq_exit";
  static constexpr std::string_view kAbout = "An interrupt handler returned.";
  int core;
  std::string_view interrupt;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("irq", interrupt);
  }
};
struct LockAcquired {
  static constexpr std::string_view kName = "lock_acquire";
  static constexpr std::string_view kAbout = "A lock was taken.";
  std::string_view lock;
  std::string_view kind;
  bool shared;
  template <class V>
  void describe(V& visit) const {
    visit("lock", lock);
    visit("kind", kind);
    visit("shared", shared);
  }
};
struct LockReleased {
  static constexpr std::string_view kName = "lock_release";
  static constexpr std::string_view kAbout = "A lock was given back.";
  std::string_view lock;
  template <class V>
  void describe(V& visit) const {
    visit("lock", lock);
  }
};
struct LockOrderBroken {
  static constexpr std::string_view kName = "lock_order_broken";
  static constexpr std::string_view kAbout = "Lock classes were taken in an order that can deadlock.";
  std::string cycle;
  std::string story;
  template <class V>
  void describe(V& visit) const {
    visit("cycle", cycle);
    visit("story", story);
  }
};
struct SleptInAtomic {
  static constexpr std::string_view kName = "sleep_in_atomic";
  static constexpr std::string_view kAbout = "Something that may sleep was called where sleeping is forbidden.";
  std::string what;
  std::string why;
  template <class V>
  void describe(V& visit) const {
    visit("what", what);
    visit("why", why);
  }
};
struct ReadSectionEntered {
  static constexpr std::string_view kName = "read_lock";
  static constexpr std::string_view kAbout = "An RCU or SRCU read section began.";
  std::string_view domain;
  std::uint64_t section;
  template <class V>
  void describe(V& visit) const {
    visit("domain", domain);
    visit("section", section);
  }
};
struct ReadSectionLeft {
  static constexpr std::string_view kName = "read_unlock";
  static constexpr std::string_view kAbout = "An RCU or SRCU read section ended.";
  std::string_view domain;
  std::uint64_t section;
  template <class V>
  void describe(V& visit) const {
    visit("domain", domain);
    visit("section", section);
  }
};
struct GracePeriodEnded {
  static constexpr std::string_view kName = "grace_period";
  static constexpr std::string_view kAbout = "synchronize() returned: every section that was open when it began is closed.";
  std::string_view domain;
  Time took;
  template <class V>
  void describe(V& visit) const {
    visit("domain", domain);
    visit("took", took);
  }
};
struct RefcountUnderflow {
  static constexpr std::string_view kName = "refcount_underflow";
  static constexpr std::string_view kAbout = "A reference was given back that nobody held.";
  std::string_view count;
  template <class V>
  void describe(V& visit) const {
    visit("count", count);
  }
};
struct RefcountRevived {
  static constexpr std::string_view kName = "refcount_revived";
  static constexpr std::string_view kAbout = "A reference was taken on something whose count was already zero.";
  std::string_view count;
  template <class V>
  void describe(V& visit) const {
    visit("count", count);
  }
};
struct Deadlock {
  static constexpr std::string_view kName = "deadlock";
  static constexpr std::string_view kAbout = "Nobody can go on although somebody has not finished.";
  std::string story;
  template <class V>
  void describe(V& visit) const {
    visit("story", story);
  }
};

}  // namespace secmmu
