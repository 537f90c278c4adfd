#include "notifier/intervals/interval_tree.hpp"

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "notifier/substrate/random.hpp"

using namespace secmmu;

namespace {

struct Naive {
  std::uint64_t first;
  std::uint64_t last;
  int* owner;
  IntervalTree<int>::Handle handle;
};

std::vector<int*> found_by(const IntervalTree<int>& tree, std::uint64_t first, std::uint64_t last) {
  std::vector<int*> found;
  auto overlaps = tree.overlapping(first, last);
  while (int* owner = overlaps.next()) found.push_back(owner);
  return found;
}

std::vector<int*> expected(std::vector<Naive> all, std::uint64_t first, std::uint64_t last) {
  std::stable_sort(all.begin(), all.end(), [](const Naive& a, const Naive& b) { return a.handle < b.handle; });
  std::vector<int*> found;
  for (const Naive& one : all)
    if (one.first <= last && one.last >= first) found.push_back(one.owner);
  return found;
}

}  // namespace

TEST_CASE("interval tree: first and last byte belong to an interval, at both ends of the address space too") {
  IntervalTree<int> tree;
  int low = 0;
  int high = 0;
  int one = 0;
  tree.insert(0, 4095, &low);
  tree.insert(UINT64_MAX - 4095, UINT64_MAX, &high);
  tree.insert(8192, 8192, &one);
  CHECK(found_by(tree, 0, 0) == std::vector<int*>{&low});
  CHECK(found_by(tree, 4095, 8191) == std::vector<int*>{&low});
  CHECK(found_by(tree, 4096, 8191).empty());
  CHECK(found_by(tree, 8192, 8192) == std::vector<int*>{&one});
  CHECK(found_by(tree, UINT64_MAX, UINT64_MAX) == std::vector<int*>{&high});
  CHECK(found_by(tree, 0, UINT64_MAX) == std::vector<int*>{&low, &one, &high});
}

TEST_CASE("interval tree: random insertions, removals and questions, against a plain list") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed, "intervals");
    IntervalTree<int> tree;
    std::vector<Naive> all;
    std::vector<int> owners(600);
    for (int& owner : owners) {
      const std::uint64_t first = random.below(64);
      const std::uint64_t last = first + random.below(random.below(4) == 0 ? 64 : 4);
      all.push_back({first, last, &owner, tree.insert(first, last, &owner)});
      if (random.below(3) == 0) {
        const std::size_t victim = random.below(all.size());
        tree.erase(all[victim].handle);
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(victim));
      }
      const std::uint64_t from = random.below(130);
      const std::uint64_t to = from + random.below(16);
      CHECK(found_by(tree, from, to) == expected(all, from, to));
    }
    CHECK(tree.size() == all.size());
    while (!all.empty()) {
      tree.erase(all.back().handle);
      all.pop_back();
    }
    CHECK(tree.empty());
    CHECK(found_by(tree, 0, UINT64_MAX).empty());
  }
}
