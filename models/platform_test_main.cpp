// The main of platform_tests: plain doctest. Only the children that test_platform.hpp forks meet SystemC.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>

#include <fmt/format.h>

#include "models/elaboration.hpp"
#include "models/test_platform.hpp"

namespace secmmu::testing {
namespace {

unsigned long failed_checks = 0;

// Counts what fails in this process; doctest itself has no question for it.
struct FailureCount final : doctest::IReporter {
  explicit FailureCount(const doctest::ContextOptions&) {}
  void log_assert(const doctest::AssertData& data) override { failed_checks += data.m_failed ? 1 : 0; }
  void log_message(const doctest::MessageData& data) override {
    failed_checks += data.m_severity == doctest::assertType::is_warn ? 0 : 1;
  }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override { ++failed_checks; }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

void flush() {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
}

}  // namespace

REGISTER_LISTENER("failure_count", 1, FailureCount);

void in_child(const std::function<void()>& body) {
  flush();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    failed_checks = 0;
    elaborate([&body] {
      systemc_throws();
      try {
        body();
      } catch (const std::exception& error) {
        FAIL_CHECK("exception: " << std::string(error.what()));
      }
      return 0;
    });
    flush();
    _exit(failed_checks == 0 ? 0 : 1);  // nothing of the parent's may be torn down twice
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string end = WIFSIGNALED(status) ? fmt::format("a signal: {}", strsignal(WTERMSIG(status)))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  INFO("the child ended with " << end);
  CHECK(status == 0);
}

void direct(Platform& platform, const std::function<void()>& body) {
  platform.arbiter.direct(body);
  sc_core::sc_start();
  try {
    platform.arbiter.rethrow();
  } catch (const std::exception& error) {
    FAIL_CHECK("exception: " << std::string(error.what()));
  }
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace secmmu::testing

int sc_main(int, char**) { return secmmu::run_elaboration(); }

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);
  return doctest::Context(argc, argv).run();
}
