#include "sim/run/access_pattern.hpp"

#include <algorithm>
#include <numeric>

#include "notifier/substrate/address.hpp"

namespace secmmu {
namespace {

__extension__ using Wide = unsigned __int128;  // for products of two 64-bit numbers

// 2^32 / rank^(skew/100), in integers: the power is taken by repeated square roots of the rank in fixed
// point, so that every machine computes the same weights.
std::uint64_t zipf_weight(std::uint64_t rank, std::uint64_t skew_percent) {
  // log2(rank) in units of 2^-32, bit by bit.
  std::uint64_t integer = 63 - static_cast<std::uint64_t>(__builtin_clzll(rank));
  Wide mantissa = (static_cast<Wide>(rank) << 62) >> integer;  // in [2^62, 2^63)
  std::uint64_t log = integer << 32;
  for (int bit = 31; bit >= 0; --bit) {
    mantissa = (mantissa * mantissa) >> 62;
    if (mantissa >= (static_cast<Wide>(1) << 63)) {
      mantissa >>= 1;
      log |= 1ULL << bit;
    }
  }
  const auto exponent = static_cast<std::uint64_t>((static_cast<Wide>(log) * skew_percent) / 100);
  const std::uint64_t whole = exponent >> 32;
  if (whole >= 40) return 1;
  // 2^-fraction between 1 and 1/2, as a straight line: close enough, and exact everywhere.
  const std::uint64_t fraction = exponent & 0xffffffffULL;
  const std::uint64_t scaled = (1ULL << 40) - (fraction << 7);
  return std::max<std::uint64_t>(1, scaled >> whole);
}

}  // namespace

AccessPattern::AccessPattern(const Generator& generator, std::uint64_t bytes, RandomStream& random)
    : bytes_(bytes), stride_(generator.stride), write_one_in_(generator.write_one_in), random_(random) {
  const std::uint64_t pages = bytes / kPageSize;
  if (generator.pattern == "random") {
    kind_ = Kind::random;
  } else if (generator.pattern == "zipf") {
    kind_ = Kind::zipf;
    std::uint64_t sum = 0;
    for (std::uint64_t page = 1; page <= pages; ++page) {
      sum += zipf_weight(page, generator.skew_percent);
      cumulative_.push_back(sum);
    }
  } else if (generator.pattern == "chase") {
    kind_ = Kind::chase;
    chain_.resize(pages);
    std::iota(chain_.begin(), chain_.end(), 0);
    for (std::uint64_t i = pages - 1; i > 0; --i) std::swap(chain_[i], chain_[random_.below(i + 1)]);
  } else {
    kind_ = Kind::stride;
  }
}

std::uint64_t AccessPattern::next() {
  switch (kind_) {
    case Kind::stride: {
      const std::uint64_t offset = at_;
      at_ += stride_;
      if (at_ >= bytes_) at_ -= bytes_ * (at_ / bytes_);
      return offset & ~7ULL;
    }
    case Kind::random:
      return random_.below(bytes_ / 8) * 8;
    case Kind::zipf: {
      const std::uint64_t draw = random_.below(cumulative_.back());
      const auto page = static_cast<std::uint64_t>(
          std::upper_bound(cumulative_.begin(), cumulative_.end(), draw) - cumulative_.begin());
      return page * kPageSize + random_.below(kPageSize / 8) * 8;
    }
    case Kind::chase:  // where it begins; from there on memory says
      return link_from(0);
  }
  return 0;
}

bool AccessPattern::next_is_write() { return write_one_in_ != 0 && ++count_ % write_one_in_ == 0; }

}  // namespace secmmu
