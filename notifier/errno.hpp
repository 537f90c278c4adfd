// Results of kernel operations, by Linux's names. `ok` is 0; the others print as "-EAGAIN" and the like.
#pragma once

#include <string_view>

namespace secmmu {

enum class Errno { ok, EINTR, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY, EEXIST, EINVAL, EOVERFLOW, ESRCH, SIGSEGV };

constexpr std::string_view errno_name(Errno code) {
  switch (code) {
    case Errno::ok: return "ok";
    case Errno::EINTR: return "EINTR";
    case Errno::EAGAIN: return "EAGAIN";
    case Errno::ENOMEM: return "ENOMEM";
    case Errno::EACCES: return "EACCES";
    case Errno::EFAULT: return "EFAULT";
    case Errno::EBUSY: return "EBUSY";
    case Errno::EEXIST: return "EEXIST";
    case Errno::EINVAL: return "EINVAL";
    case Errno::EOVERFLOW: return "EOVERFLOW";
    case Errno::ESRCH: return "ESRCH";
    case Errno::SIGSEGV: return "SIGSEGV";
  }
  return "?";
}

}  // namespace secmmu
