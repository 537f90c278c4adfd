#include "sim/conform/child_process.hpp"

#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "models/elaboration.hpp"

namespace secmmu::conform {
namespace {

void write_all(int out, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(out, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    done += static_cast<std::size_t>(wrote);
  }
}

// The first letter says what the rest is.
int answer(int out, const std::function<std::string()>& body) {
  systemc_throws();
  try {
    write_all(out, "+" + body());
  } catch (const std::exception& error) {
    write_all(out, std::string("-") + error.what());
  } catch (...) {
    write_all(out, "-something was thrown that is no exception");
  }
  return 0;
}

}  // namespace

ChildAnswer ask_child(const std::function<std::string()>& body) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  std::fflush(nullptr);
  [[maybe_unused]] const pid_t parent = getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error(fmt::format("cannot fork a worker: {}", std::strerror(errno)));
  if (pid == 0) {
    close(ends[0]);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
#endif
    const int status = elaborate([&] { return answer(ends[1], body); });
    std::fflush(nullptr);
    _exit(status);  // nothing of the parent's may be torn down twice
  }
  close(ends[1]);
  std::string heard;
  char buffer[65536];
  for (;;) {
    const ssize_t got = read(ends[0], buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    heard.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ChildAnswer result;
  if (WIFSIGNALED(status))
    result.fault = fmt::format("the worker ended with signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else if (heard.empty() || WEXITSTATUS(status) != 0)
    result.fault = fmt::format("the worker ended with exit code {}", WEXITSTATUS(status));
  else if (heard[0] == '-')
    result.fault = heard.substr(1);
  else
    result.text = heard.substr(1);
  return result;
}

}  // namespace secmmu::conform
