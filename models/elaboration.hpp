// SystemC's way into a process that was forked for it: it elaborates once, and calls sc_main for that.
#pragma once

#include <functional>

namespace secmmu {

// Elaborates and simulates what `body` builds; its answer. Once in a process.
int elaborate(std::function<int()> body);
// What sc_main does.
int run_elaboration();

// From here on SystemC prints nothing: what matters comes as an exception.
void systemc_throws();

}  // namespace secmmu
