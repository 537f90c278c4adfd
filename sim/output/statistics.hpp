// stats.json, and the same as a table for a terminal: counts of events and histograms of latencies, from the
// bus, and what the runner adds from the models' own counters (hits are counted there, not traced).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/output/sink.hpp"

namespace secmmu {

// One figure. Names are dotted, the part that it belongs to first: "gru0.tlb.hits".
struct StatisticRow {
  std::string name;
  std::string unit;      // "events", "ps", "frames"
  std::string sentence;  // what is counted
  std::uint64_t value = 0;
};

// Buckets by powers of two: bucket 0 holds the value 0, bucket n the values from 2^(n-1) to 2^n - 1.
class Histogram {
 public:
  void add(std::uint64_t value);
  std::uint64_t count() const { return count_; }
  std::uint64_t sum() const { return sum_; }
  std::uint64_t min() const { return min_; }
  std::uint64_t max() const { return max_; }
  std::uint64_t mean() const { return count_ == 0 ? 0 : sum_ / count_; }
  const std::vector<std::uint64_t>& buckets() const { return buckets_; }
  // No more than this many values in a hundred are above the result, which is the end of a bucket.
  std::uint64_t at_most(unsigned percent) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t min_ = 0;
  std::uint64_t max_ = 0;
};

class Statistics final : public Sink {
 public:
  explicit Statistics(const RunDescription& run);
  ~Statistics() override;
  void attach(Bus& bus) override;
  void violation(const Violation& violation) override;
  void finish(Time end) override;

  void add(StatisticRow row);
  void add(const std::vector<StatisticRow>& rows);

  // After finish(). Rows are sorted by name.
  std::string json() const;
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace secmmu
