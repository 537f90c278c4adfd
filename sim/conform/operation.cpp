#include "sim/conform/operation.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/conform/devices.hpp"
#include "sim/conform/translation.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu::conform {
namespace {

using Steps = std::vector<Step>;
using ToSteps = std::function<Steps(const Operation&)>;

const Argument kBuffer = {"B", Form::buffer, &Operation::buffer};
const Argument kNewBuffer = {"B", Form::new_buffer, &Operation::buffer};
const Argument kFirst = {"OFF", Form::first, &Operation::first};
const Argument kPages = {"N", Form::pages, &Operation::pages};
const Argument kValue = {"V", Form::value, &Operation::value};
const Argument kTarget = {"C", Form::buffer, &Operation::target};
const Argument kNewTarget = {"C", Form::new_buffer, &Operation::target};
const Argument kTargetFirst = {"COFF", Form::first, &Operation::target_first};

const std::vector<Argument> kNoArguments = {};
const std::vector<Argument> kWholeBuffer = {kBuffer};
const std::vector<Argument> kRange = {kBuffer, kFirst, kPages};
const std::vector<Argument> kRangeAndValue = {kBuffer, kFirst, kPages, kValue};

Argument one_of(std::string_view letter, std::vector<std::string> words, bool optional = false) {
  return {letter, Form::word, &Operation::word, std::move(words), optional};
}
std::vector<Argument> range_and(Argument last) { return {kBuffer, kFirst, kPages, std::move(last)}; }

Protection protection_of(const std::string& word) {
  const auto& words = language::protection_words();
  return static_cast<Protection>(std::find(words.begin(), words.end(), word) - words.begin());
}

// --- what becomes of an operation ---

Step range_step(std::string_view verb, const Operation& operation) {
  Step step;
  step.verb = verb;
  step.buffer = operation.buffer;
  step.first_page = operation.first;
  step.end_page = operation.first + operation.pages;
  return step;
}

// The verb of that name, on the pages.
ToSteps on_pages(std::string_view verb) {
  return [verb](const Operation& operation) -> Steps { return {range_step(verb, operation)}; };
}
// On all of the buffer.
ToSteps on_buffer(std::string_view verb) {
  return [verb](const Operation& operation) -> Steps {
    Step step;
    step.verb = verb;
    step.buffer = operation.buffer;
    step.end_page = operation.pages;  // where a step is to be named; a recording does not say
    return {step};
  };
}
ToSteps with_rights(std::string_view verb) {
  return [verb](const Operation& operation) -> Steps {
    Step step = range_step(verb, operation);
    step.protection = protection_of(operation.word);
    return {step};
  };
}
// A bare word.
ToSteps plain(std::string_view verb) {
  return [verb](const Operation&) -> Steps {
    Step step;
    step.verb = verb;
    return {step};
  };
}

// The translation finds the place: 2 MiB aligned, with a gap to whatever is there.
ToSteps mapping(Backing backing) {
  return [backing](const Operation& operation) -> Steps {
    Step step;
    step.verb = "mmap";
    step.buffer = operation.buffer;
    step.pages = operation.pages;
    step.backing = backing;
    return {step};
  };
}

// Private memory is mapped without huge pages, unless it is to have them.
Steps map_private(const Operation& operation) {
  Steps steps = mapping(Backing::anon)(operation);
  Step advice;
  advice.verb = operation.word == "huge" ? "hugepage" : "nohugepage";
  advice.buffer = operation.buffer;
  advice.end_page = operation.pages;
  steps.push_back(advice);
  return steps;
}
Steps map_over(const Operation& operation) {
  Steps steps = with_rights("mmap_fixed")(operation);
  steps.push_back(range_step("nohugepage", operation));
  return steps;
}

ToSteps writing(std::string_view verb) {
  return [verb](const Operation& operation) -> Steps {
    Step step = range_step(verb, operation);
    step.value = operation.value;
    step.count_up = true;
    return {step};
  };
}

// A memfd: its page i begins with the byte 100 + i.
Steps map_file_privately(const Operation& operation) {
  Steps steps = mapping(Backing::memfd_private)(operation);
  Operation contents = operation;
  contents.value = 100;
  steps.push_back(writing("pwrite")(contents).front());
  return steps;
}

Steps truncate(const Operation& operation) {
  Step step;
  step.verb = "truncate";
  step.buffer = operation.buffer;
  step.pages = operation.pages;
  return {step};
}

Steps named(std::string_view verb, std::string_view name) {
  Step step;
  step.verb = verb;
  step.name = name;
  return {step};
}
Steps watch(const Operation&) { return named("register", kRecorder); }
Steps unwatch(const Operation&) { return named("unregister", kRecorder); }
Steps attach_device(const Operation& operation) { return named("register", operation.word); }
// The translation says who the child is.
Steps make_child(const Operation&) { return named("fork", ""); }

Steps clear_bits(const Operation& operation) {
  return plain(operation.word == "1" ? "clear_referenced" : "clear_soft_dirty")(operation);
}

// The one that reaps is a child; what its fork tells was not recorded. What the owner does at last comes later.
Steps reap_and_exit(const Operation& operation) {
  Steps steps = named("fork", "");
  steps.front().id = kUnrecorded;
  const Steps reap = named("oom_reap", kProcess);
  const Steps end = plain("exit")(operation);
  steps.insert(steps.end(), reap.begin(), reap.end());
  steps.insert(steps.end(), end.begin(), end.end());
  return steps;
}

Steps scan_by_khugepaged(const Operation&) { return named("khugepaged", kProcess); }

Steps move_elsewhere(const Operation& operation) {
  Step step = range_step("mremap", operation);
  step.name = operation.target;
  return {step};
}
Steps move_over(const Operation& operation) {
  Step step = range_step("mremap", operation);
  step.onto = operation.target;
  step.onto_page = operation.target_first;
  return {step};
}
Steps resize(const Operation& operation) {
  Step step;
  step.verb = "mremap";
  step.buffer = operation.buffer;
  step.pages = operation.pages;
  return {step};
}

// One row for each operation. To bring one to life, give its row what makes steps of it: on_pages("verb") if it is a
// verb on pages (the row then is `{"free", kRange, on_pages("free")}`), plain("verb") if it has no arguments, or a
// function like those above; an operation may take several steps. Then `.ci/check_conform.py --update` makes the list
// of known differences and the tables of docs anew.
std::vector<OperationRow> make_operations() {
  const Argument rights = one_of("none|r|rw", {"none", "r", "rw"});
  const Argument fresh_rights = one_of("r|rw", {"r", "rw"});
  return {
      {"anon", {kNewBuffer, kPages, one_of("huge", {"huge"}, true)}, map_private},
      {"shared", {kNewBuffer, kPages}, mapping(Backing::shared)},
      {"filepriv", {kNewBuffer, kPages}, map_file_privately},
      {"file", {kNewBuffer, kPages}, mapping(Backing::file)},
      {"watch", kWholeBuffer, watch},
      {"unregister", kWholeBuffer, unwatch},
      {"device", {one_of("hmm|kvm|gru", {"hmm", "kvm", "gru"})}, attach_device},
      {"cr", kRange, on_pages("read")},
      {"cw", kRangeAndValue, writing("write")},
      {"dr", kRange, on_pages("read"), Player::device},
      {"dw", kRangeAndValue, writing("write"), Player::device},
      {"fork", kWholeBuffer, make_child},
      {"kr", kRange, on_pages("read"), Player::child},
      {"kw", kRangeAndValue, writing("write"), Player::child},
      {"child_exit", kWholeBuffer, plain("exit"), Player::child},
      {"munmap", kRange, on_pages("munmap")},
      {"mprotect", range_and(rights), with_rights("mprotect")},
      {"mmap_fixed", range_and(fresh_rights), map_over},
      {"dontneed", kRange, on_pages("dontneed")},
      {"free", kRange, on_pages("lazyfree")},
      {"cold", kRange, on_pages("cold")},
      {"pageout", kRange, on_pages("pageout")},
      {"remove", kRange, on_pages("remove")},
      {"mergeable", kRange, on_pages("mergeable")},
      {"unmergeable", kRange, on_pages("unmergeable")},
      {"hugepage", kRange, on_pages("hugepage")},
      {"nohugepage", kRange, on_pages("nohugepage")},
      {"populate_read", kRange, on_pages("populate_read")},
      {"populate_write", kRange, on_pages("populate_write")},
      {"collapse", kRange, on_pages("collapse")},
      {"wipeonfork", kRange, on_pages("wipeonfork")},
      {"dontfork", kRange, on_pages("dontfork")},
      {"soft_offline", kRange, on_pages("soft_offline")},
      {"mremap_to", {kBuffer, kFirst, kPages, kNewTarget}, move_elsewhere},
      {"mremap_onto", {kBuffer, kFirst, kPages, kTarget, kTargetFirst}, move_over},
      {"mremap_size",
       {kBuffer, {"OLD", Form::pages, &Operation::first}, {"NEW", Form::pages, &Operation::pages}},
       resize},
      {"move", kRange, on_pages("move_pages")},
      {"ksm", kWholeBuffer, plain("ksm")},
      {"clear_refs", {one_of("1|4", {"1", "4"})}, clear_bits},
      {"idle", kRange, on_pages("mark_idle")},
      {"isidle", kRange, on_pages("count_idle")},
      {"khugepaged", kWholeBuffer, scan_by_khugepaged},
      {"mrelease", kWholeBuffer, reap_and_exit},
      {"truncate", {kBuffer, {"N", Form::first, &Operation::pages}}, truncate},
      {"punch", kRange, on_pages("punch")},
      {"pwrite", kRangeAndValue, writing("pwrite")},
      {"msync", kRange, on_pages("msync")},
      {"uffd", kWholeBuffer, on_buffer("uffd_register")},
      {"wp", kRange, on_pages("uffd_protect")},
      {"unwp", kRange, on_pages("uffd_unprotect")},
      {"mlock", kRange, on_pages("mlock")},
      {"munlock", kRange, on_pages("munlock")},
      {"exit", kWholeBuffer, plain("exit")},
  };
}

}  // namespace

const std::vector<OperationRow>& operations() {
  static const std::vector<OperationRow> table = make_operations();
  return table;
}

const OperationRow* find_operation(std::string_view name) {
  for (const OperationRow& row : operations())
    if (row.name == name) return &row;
  return nullptr;
}

bool is_modelled(const Operation& operation) {
  const OperationRow* row = find_operation(operation.name);
  if (row == nullptr || !row->steps) return false;
  return operation.name != "device" || find_recorded_device(operation.word) != nullptr;
}

std::string form_of(const OperationRow& row) {
  std::string text(row.name);
  for (const Argument& argument : row.arguments)
    text += argument.optional ? fmt::format(" [{}]", argument.letter) : fmt::format(" {}", argument.letter);
  return text;
}

std::string text_of(const OperationRow& row, const Operation& operation) {
  std::string text(row.name);
  for (const Argument& argument : row.arguments) {
    const auto* word = std::get_if<std::string Operation::*>(&argument.member);
    if (word == nullptr)
      text += fmt::format(" {}", operation.*std::get<std::uint64_t Operation::*>(argument.member));
    else if (!argument.optional || !(operation.**word).empty())
      text += " " + operation.**word;
  }
  return text;
}

}  // namespace secmmu::conform
