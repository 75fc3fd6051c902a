#include "protocol/decode_error.hpp"

#include <stdexcept>

namespace pam::protocol {

problem to_problem(const decode_error& failure) {
  problem answer;
  answer.code = failure.code;
  answer.detail = failure.detail;
  if (!failure.pointer.empty()) answer.errors.push_back({failure.pointer, failure.detail});
  return answer;
}

void throw_exception_from_error(const decode_error& failure, const boost::source_location& where) {
  throw std::logic_error(std::string{"value of a failed decode taken at "} + where.file_name() + ":" +
                         std::to_string(where.line()) + ": " + std::string{failure.code->code});
}

}  // namespace pam::protocol
