// The access patterns of the verb `access`: a stream of offsets into a range of bytes, by our own
// generator and integer arithmetic only, so that a seed means the same accesses everywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/random.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

class AccessPattern {
 public:
  // Offsets are multiples of 8 below `bytes`, which is a multiple of the page size.
  AccessPattern(const Generator& generator, std::uint64_t bytes, RandomStream& random);

  std::uint64_t next();
  bool next_is_write();
  // chase: one random cycle through all pages. Whoever runs it first writes to each page the offset of the
  // next (link_from, link_to), then follows what it reads.
  bool chases() const { return kind_ == Kind::chase; }
  std::size_t links() const { return chain_.size(); }
  std::uint64_t link_from(std::size_t i) const { return chain_[i] * kPageSize; }
  std::uint64_t link_to(std::size_t i) const { return chain_[(i + 1) % chain_.size()] * kPageSize; }

 private:
  enum class Kind { stride, random, zipf, chase };
  Kind kind_;
  std::uint64_t bytes_;
  std::uint64_t stride_;
  std::uint64_t write_one_in_;
  std::uint64_t at_ = 0;
  std::uint64_t count_ = 0;
  RandomStream& random_;
  std::vector<std::uint64_t> cumulative_;  // zipf: weights of the pages, summed up
  std::vector<std::uint64_t> chain_;       // chase: a random cycle through one slot per page
};

}  // namespace secmmu
