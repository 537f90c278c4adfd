// One question to a process of its own, in which SystemC may be elaborated.
#pragma once

#include <functional>
#include <string>

namespace secmmu::conform {

struct ChildAnswer {
  std::string text;
  std::string fault;  // why there is none
};
ChildAnswer ask_child(const std::function<std::string()>& body);

}  // namespace secmmu::conform
