// Steps as a tree of the language: the table of operations read backwards.
#pragma once

#include "sim/scenario/document.hpp"
#include "sim/scenario/verbs.hpp"

namespace secmmu::language {

Node steps_node(const std::vector<Step>& steps, User user);

}  // namespace secmmu::language
