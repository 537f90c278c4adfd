#include "models/elaboration.hpp"

#include <fmt/format.h>
#include <systemc>

namespace secmmu {
namespace {

// What sc_main is to do in this process; SystemC gives it no other way in.
std::function<int()>& elaboration() {
  static std::function<int()> body;
  return body;
}

}  // namespace

int elaborate(std::function<int()> body) {
  elaboration() = std::move(body);
  char name[] = "secmmu";
  char* arguments[] = {name, nullptr};
  return sc_core::sc_elab_and_sim(1, arguments);
}

int run_elaboration() { return elaboration() ? elaboration()() : 0; }

void systemc_throws() {
  sc_core::sc_report_handler::set_actions(sc_core::SC_WARNING, sc_core::SC_THROW);
  sc_core::sc_report_handler::set_actions(sc_core::SC_INFO, sc_core::SC_DO_NOTHING);
  sc_core::sc_report_handler::set_handler([](const sc_core::sc_report& report, const sc_core::sc_actions& actions) {
    if (report.get_severity() == sc_core::SC_FATAL) fmt::print(stderr, "SystemC: {}\n", report.what());
    sc_core::sc_report_handler::default_handler(report, actions & ~(sc_core::SC_DISPLAY | sc_core::SC_LOG));
  });
}

}  // namespace secmmu
