#pragma once

#include <functional>

#include <sys/types.h>

namespace pam::bench {

/// Does something when this process ends, however it ends: a child in a process group of its own, which
/// neither Ctrl-C nor a signal to our group reaches, waits for that. Make one before there are threads.
class caretaker {
 public:
  /// @param duty  done once, in the child; what it throws is printed
  explicit caretaker(const std::function<void()>& duty);
  /// Has it done now, and waits.
  ~caretaker();
  caretaker(const caretaker&) = delete;
  caretaker& operator=(const caretaker&) = delete;

 private:
  int lifeline_ = -1;  ///< the kernel closes it with the process
  pid_t child_ = -1;
};

}  // namespace pam::bench
