// The verbs that can be executed are those of the language, and the access patterns are what they say.
#include "sim/run/program.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "sim/run/access_pattern.hpp"
#include "sim/scenario/verbs.hpp"

using namespace secmmu;

namespace {

using Names = std::set<std::string>;

Names names_of(const std::vector<std::string_view>& list) {
  Names names(list.begin(), list.end());
  CHECK(names.size() == list.size());  // none twice
  return names;
}
Names language_of(std::initializer_list<language::User> users) {
  Names names;
  for (const language::User user : users)
    for (const std::string& name : language::verb_names(user)) names.insert(name);
  return names;
}

Generator generator(const std::string& pattern) {
  Generator made;
  made.pattern = pattern;
  return made;
}

std::vector<std::uint64_t> offsets(const Generator& generator, std::uint64_t pages, std::uint64_t count,
                                   std::uint64_t seed) {
  RandomStream random(seed, "actor:x");
  AccessPattern pattern(generator, pages * kPageSize, random);
  std::vector<std::uint64_t> list;
  for (std::uint64_t i = 0; i < count; ++i) list.push_back(pattern.next());
  return list;
}

}  // namespace

TEST_CASE("run: the verbs of programs are those of the language, in both directions") {
  CHECK(names_of(program_verbs()) == language_of({language::User::cpu, language::User::device}));
}

TEST_CASE("run: the verbs of scripts are those of the language, in both directions") {
  CHECK(names_of(script_verbs()) == language_of({language::User::probe}));
}

TEST_CASE("access pattern: a stride goes on by as many bytes and wraps around") {
  Generator stride = generator("stride");
  stride.stride = 3 * kPageSize / 2;
  CHECK(offsets(stride, 4, 6, 1) == std::vector<std::uint64_t>{0, 6144, 12288, 2048, 8192, 14336});
  stride.stride = 5 * kPageSize;  // longer than the buffer
  CHECK(offsets(stride, 4, 4, 1) == std::vector<std::uint64_t>{0, 4096, 8192, 12288});
  stride.stride = 4 * kPageSize;
  CHECK(offsets(stride, 4, 3, 1) == std::vector<std::uint64_t>{0, 0, 0});
}

TEST_CASE("access pattern: offsets are aligned and inside, whatever the pattern") {
  for (const char* name : {"stride", "random", "zipf"})
    for (const std::uint64_t pages : {1, 3, 64}) {
      CAPTURE(name);
      Generator made = generator(name);
      made.stride = 1237;
      for (const std::uint64_t offset : offsets(made, pages, 2'000, 9)) {
        CHECK(offset % 8 == 0);
        CHECK(offset + 8 <= pages * kPageSize);
      }
    }
}

TEST_CASE("access pattern: the seed decides, and nothing else") {
  for (const char* name : {"random", "zipf"}) {
    CAPTURE(name);
    CHECK(offsets(generator(name), 16, 100, 4) == offsets(generator(name), 16, 100, 4));
    CHECK(offsets(generator(name), 16, 100, 4) != offsets(generator(name), 16, 100, 5));
  }
}

TEST_CASE("access pattern: random reaches every page about equally often") {
  std::vector<int> hits(16);
  for (const std::uint64_t offset : offsets(generator("random"), 16, 16'000, 3)) ++hits[offset / kPageSize];
  CHECK(*std::min_element(hits.begin(), hits.end()) > 850);
  CHECK(*std::max_element(hits.begin(), hits.end()) < 1150);
}

TEST_CASE("access pattern: zipf gives the first pages most, more so with a higher exponent") {
  double before = 0;
  for (const std::uint64_t skew : {50, 100, 200}) {
    CAPTURE(skew);
    Generator zipf = generator("zipf");
    zipf.skew_percent = skew;
    std::vector<int> hits(32);
    for (const std::uint64_t offset : offsets(zipf, 32, 60'000, 3)) ++hits[offset / kPageSize];
    CHECK(std::max_element(hits.begin(), hits.end()) == hits.begin());
    CHECK(hits[0] > hits[1]);
    CHECK(hits[1] > hits[3]);
    CHECK(hits[3] > hits[15]);
    // The weight of rank n is n to the power of minus the exponent: page 3 has rank 4.
    const double ratio = static_cast<double>(hits[0]) / hits[3];
    const double wanted = skew == 50 ? 2 : (skew == 100 ? 4 : 16);
    CHECK(ratio > wanted * 0.85);
    CHECK(ratio < wanted * 1.15);
    CHECK(ratio > before);
    before = ratio;
  }
  Generator flat = generator("zipf");
  flat.skew_percent = 0;
  std::vector<int> hits(8);
  for (const std::uint64_t offset : offsets(flat, 8, 16'000, 3)) ++hits[offset / kPageSize];
  CHECK(*std::min_element(hits.begin(), hits.end()) > 1800);
}

TEST_CASE("access pattern: a chase goes through every page once before it comes back") {
  for (const std::uint64_t pages : {1, 2, 7, 64}) {
    CAPTURE(pages);
    RandomStream random(6, "actor:x");
    AccessPattern pattern(generator("chase"), pages * kPageSize, random);
    CHECK(pattern.chases());
    CHECK(pattern.links() == pages);
    std::map<std::uint64_t, std::uint64_t> next;
    for (std::size_t i = 0; i < pattern.links(); ++i) next[pattern.link_from(i)] = pattern.link_to(i);
    CHECK(next.size() == pages);
    std::uint64_t at = pattern.next();
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < pages; ++i) {
      CHECK(seen.insert(at / kPageSize).second);
      CHECK(at % kPageSize == 0);
      at = next.at(at);
    }
    CHECK(at == pattern.next());
  }
  RandomStream one(1, "x");
  RandomStream two(2, "x");
  AccessPattern first(generator("chase"), 64 * kPageSize, one);
  AccessPattern second(generator("chase"), 64 * kPageSize, two);
  bool same = true;
  for (std::size_t i = 0; i < 64; ++i) same = same && first.link_from(i) == second.link_from(i);
  CHECK_FALSE(same);
}

TEST_CASE("access pattern: every n-th access is a write") {
  RandomStream random(1, "x");
  for (const std::uint64_t every : {0, 1, 4}) {
    CAPTURE(every);
    Generator made = generator("stride");
    made.write_one_in = every;
    AccessPattern pattern(made, kPageSize, random);
    std::string turns;
    for (int i = 0; i < 8; ++i) turns += pattern.next_is_write() ? 'w' : 'r';
    CHECK(turns == (every == 0 ? "rrrrrrrr" : (every == 1 ? "wwwwwwww" : "rrrwrrrw")));
  }
}
