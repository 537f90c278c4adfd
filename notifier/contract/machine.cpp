// A machine for who has none: elaborated, played on and stopped in one call.
#include <array>

#include "notifier/contract/contract.hpp"

namespace secmmu::contract {
namespace {

constexpr unsigned kCores = 4;

}  // namespace

std::vector<Breach> run_contract(const SubscriberFactory& make, const Options& options) {
  // As long as SystemC: it is never taken apart.
  static Arbiter* const arbiter = new Arbiter("machine");
  for (unsigned core = 0; core < kCores; ++core) {
    Processor& processor = arbiter->add_processor();
    arbiter->add_task("task" + std::to_string(core), TaskKind::actor, &processor);
  }
  std::array<Task*, 2> workers{};
  for (unsigned i = 0; i < 2; ++i) workers[i] = &arbiter->add_task("worker" + std::to_string(i), TaskKind::service);
  std::vector<Breach> breaches;
  arbiter->direct([&] {
    const std::unique_ptr<Surroundings> surroundings = plain_surroundings(*arbiter, *workers[0], *workers[1]);
    breaches = run_contract(*surroundings, make, options);
    arbiter->reset();
  });
  sc_core::sc_report_handler::set_actions(sc_core::SC_INFO, sc_core::SC_DO_NOTHING);  // "stopped by user"
  sc_core::sc_start();
  arbiter->rethrow();
  return breaches;
}

}  // namespace secmmu::contract
