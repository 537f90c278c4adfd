// Results of kernel operations, by Linux's names; in lower case, because <errno.h> and <signal.h> make macros of the
// others. `ok` is 0.
#pragma once

#include <string_view>

namespace secmmu {

enum class Errno {
  ok,
  eperm,
  enoent,
  esrch,
  eintr,
  eio,
  ebadf,
  eagain,
  enomem,
  eacces,
  efault,
  ebusy,
  eexist,
  enodev,
  einval,
  enosys,
  eoverflow,
  sigsegv
};

constexpr std::string_view errno_name(Errno code) {
  switch (code) {
    case Errno::ok:
      return "ok";
    case Errno::eperm:
      return "EPERM";
    case Errno::enoent:
      return "ENOENT";
    case Errno::eintr:
      return "EINTR";
    case Errno::eio:
      return "EIO";
    case Errno::ebadf:
      return "EBADF";
    case Errno::eagain:
      return "EAGAIN";
    case Errno::enomem:
      return "ENOMEM";
    case Errno::eacces:
      return "EACCES";
    case Errno::efault:
      return "EFAULT";
    case Errno::ebusy:
      return "EBUSY";
    case Errno::eexist:
      return "EEXIST";
    case Errno::enodev:
      return "ENODEV";
    case Errno::einval:
      return "EINVAL";
    case Errno::enosys:
      return "ENOSYS";
    case Errno::eoverflow:
      return "EOVERFLOW";
    case Errno::esrch:
      return "ESRCH";
    case Errno::sigsegv:
      return "SIGSEGV";
  }
  return "?";
}

}  // namespace secmmu
