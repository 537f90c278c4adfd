// Tracepoints of the notifier core. `mm` is the address space's name, `subscriber` the device's.
#pragma once

#include <string>
#include <string_view>

#include "notifier/substrate/errno.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/range.hpp"
#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

struct InvalidateStart {
  static constexpr std::string_view kName = "invalidate_start";
  static constexpr std::string_view kAbout = "An invalidation was announced; no PTE has changed yet.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;  // of the range
  PageRange pages;
  InvalidateEvent event;
  bool blockable;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("id", id);
    visit("pages", pages);
    visit("reason", invalidate_event_name(event));  // `event` is the tracepoint itself in event streams
    visit("blockable", blockable);
  }
};
// Every subscriber has been called (or the start failed: result).
struct InvalidateStarted {
  static constexpr std::string_view kName = "invalidate_started";
  static constexpr std::string_view kAbout = "Every subscriber has been told of the start.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  Errno result;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("id", id);
    visit("result", errno_name(result));
  }
};
struct InvalidateEnd {
  static constexpr std::string_view kName = "invalidate_end";
  static constexpr std::string_view kAbout = "The PTEs have changed; subscribers are about to be told.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;  // 0: an end whose start nobody announced
  PageRange pages;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("id", id);
    visit("pages", pages);
  }
};
struct InvalidateEnded {
  static constexpr std::string_view kName = "invalidate_ended";
  static constexpr std::string_view kAbout = "Every subscriber has been told of the end; the range is closed.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("id", id);
  }
};
// Before the subscribers are told, one callback each.
struct ChangePte {
  static constexpr std::string_view kName = "change_pte";
  static constexpr std::string_view kAbout = "A PTE is about to get another frame or other rights; subscribers are told which.";
  std::string_view mm;
  std::uint32_t mm_id;
  Vpn page;
  Pfn pfn;
  bool writable;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("page", page);
    visit("pfn", pfn);
    visit("writable", writable);
  }
};
struct CallbackBegin {
  static constexpr std::string_view kName = "callback_begin";
  static constexpr std::string_view kAbout = "A subscriber's callback was entered.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;  // of the registration
  Callback callback;
  PageRange pages;
  std::uint64_t range_id;  // 0: outside start and end
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("callback", callback_name(callback));
    visit("pages", pages);
    visit("range", range_id);
  }
};
struct CallbackEnd {
  static constexpr std::string_view kName = "callback_end";
  static constexpr std::string_view kAbout = "A subscriber's callback returned.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  Callback callback;
  PageRange pages;
  std::uint64_t range_id;
  Errno result;  // of start
  bool young;    // of the ageing callbacks
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("callback", callback_name(callback));
    visit("pages", pages);
    visit("range", range_id);
    visit("result", errno_name(result));
    visit("young", young);
  }
};
struct Registered {
  static constexpr std::string_view kName = "subscription_register";
  static constexpr std::string_view kAbout = "A subscriber was linked into an mm's list.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
struct Unlinked {
  static constexpr std::string_view kName = "subscription_unlink";
  static constexpr std::string_view kAbout =
      "A subscriber was taken out of an mm's list: from here on nobody tells it.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  bool was_linked;  // false: it was unlinked already (a double delete where the kernel does not cope)
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("was_linked", was_linked);
  }
};
struct UnregisterBegin {
  static constexpr std::string_view kName = "unregister_begin";
  static constexpr std::string_view kAbout = "A driver asked to be unregistered.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
struct UnregisterEnd {
  static constexpr std::string_view kName = "unregister_end";
  static constexpr std::string_view kAbout = "unregister returned: no callback of this subscriber may run any more.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
// By unregister_no_release: without a release, and without a wait for callbacks that run.
struct SubscriptionLeft {
  static constexpr std::string_view kName = "subscription_left";
  static constexpr std::string_view kAbout = "A subscriber gave its subscription up without waiting: callbacks may still run.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
struct SubscriptionFreed {
  static constexpr std::string_view kName = "subscription_free";
  static constexpr std::string_view kAbout = "A subscriber's memory was given back: from here on nobody may touch it.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
struct IntervalInserted {
  static constexpr std::string_view kName = "interval_insert";
  static constexpr std::string_view kAbout = "An interval subscription was inserted into an mm.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  VirtAddr first;
  VirtAddr last;
  bool deferred;  // the tree is being walked: the insertion waits for the end of the ranges
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("first", first);
    visit("last", last);
    visit("deferred", deferred);
  }
};
// From here on nobody calls it and its memory may go.
struct IntervalRemoved {
  static constexpr std::string_view kName = "interval_remove";
  static constexpr std::string_view kAbout = "The removal of an interval subscription returned: its memory may go.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
// Linux's tree is walked, changed or searched through the memory of its subscriptions.
struct IntervalTouched {
  static constexpr std::string_view kName = "interval_touch";
  static constexpr std::string_view kAbout = "The core changed the tree through the memory of a removed subscription.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
  }
};
struct IntervalReadBegin {
  static constexpr std::string_view kName = "interval_read_begin";
  static constexpr std::string_view kAbout = "A driver began to look at page tables: it may fill if nothing comes between.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  std::uint64_t sequence;
  bool waited;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("sequence", sequence);
    visit("waited", waited);
  }
};
struct IntervalReadRetry {
  static constexpr std::string_view kName = "interval_read_retry";
  static constexpr std::string_view kAbout = "A driver asked whether an invalidation came between; if so it begins again.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::uint64_t serial;
  std::uint64_t sequence;
  bool again;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("sequence", sequence);
    visit("again", again);
  }
};
struct SequenceChanged {
  static constexpr std::string_view kName = "interval_sequence";
  static constexpr std::string_view kAbout =
      "The sequence of an mm's interval subscriptions, or its count of open ranges, changed.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t sequence;  // odd: some of them are being invalidated
  std::uint64_t active;    // open ranges of the mm
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("sequence", sequence);
    visit("active", active);
  }
};
struct FreedMmUsed {
  static constexpr std::string_view kName = "freed_mm_use";
  static constexpr std::string_view kAbout = "The subscriptions of an address space were used after its structure was freed.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view what;  // "was looked through for subscribers"
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("what", what);
  }
};
// Where the kernel would WARN or BUG: somebody broke a rule of the interface.
struct NotifierWarning {
  static constexpr std::string_view kName = "notifier_warning";
  static constexpr std::string_view kAbout = "The core noticed that a driver broke a rule of the interface.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view subscriber;
  std::string what;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("subscriber", subscriber);
    visit("what", what);
  }
};
struct MmReleaseBegin {
  static constexpr std::string_view kName = "mm_release_begin";
  static constexpr std::string_view kAbout =
      "The last user of an mm is gone: subscribers are released, then it is unmapped.";
  std::string_view mm;
  std::uint32_t mm_id;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
  }
};
struct MmReleaseEnd {
  static constexpr std::string_view kName = "mm_release_end";
  static constexpr std::string_view kAbout = "Every subscriber of the mm has been released and unlinked.";
  std::string_view mm;
  std::uint32_t mm_id;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
  }
};

}  // namespace secmmu
