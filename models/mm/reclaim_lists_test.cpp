#include "models/mm/reclaim_lists.hpp"

#include <doctest/doctest.h>

using namespace secmmu;

TEST_CASE("reclaim lists: the first that came is the last") {
  ReclaimLists lists(16);
  CHECK(lists.last(ReclaimList::inactive_file) == kNoPfn);
  lists.put_first(ReclaimList::inactive_file, {3});
  lists.put_first(ReclaimList::inactive_file, {5});
  lists.put_first(ReclaimList::active_file, {7}, 512);
  CHECK(lists.last(ReclaimList::inactive_file) == Pfn{3});
  CHECK(lists.pages(ReclaimList::inactive_file) == 2);
  CHECK(lists.pages(ReclaimList::active_file) == 512);
  lists.put_first(ReclaimList::inactive_file, {3});  // used again
  CHECK(lists.last(ReclaimList::inactive_file) == Pfn{5});
  lists.put_first(ReclaimList::active_file, {5});
  CHECK(lists.list_of({5}) == ReclaimList::active_file);
  CHECK(lists.pages(ReclaimList::inactive_file) == 1);
  lists.take_off({7});
  lists.take_off({7});
  CHECK_FALSE(lists.on_any({7}));
  CHECK(lists.pages(ReclaimList::active_file) == 1);
  lists.clear();
  CHECK_FALSE(lists.on_any({5}));
  CHECK(lists.last(ReclaimList::active_file) == kNoPfn);
}
