// Properties: a request is read the same however its bytes are cut; what is accepted has one reading: no line
// end, NUL or blank where another parser might see one, and its parts lie in what was sent.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/net/detail/request_reader.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using pam::net::limits;
using pam::net::detail::exchange;
using stage = pam::net::detail::request_reader::stage;

namespace {

limits small_limits() {
  limits bounds;
  bounds.header_bytes = 2'048;
  bounds.header_fields = 20;
  bounds.body_bytes = 1'024;
  return bounds;
}

const limits bounds = small_limits();

/// Feeds `text` in pieces of `step` bytes; returns how many bytes the request took.
std::size_t feed(exchange& into, std::string_view text, std::size_t step) {
  std::size_t fed = 0;
  while (fed < text.size()) {
    const std::string_view piece = text.substr(fed, step);
    into.reader.append(piece);
    fed += piece.size();
    const stage now = into.reader.advance(bounds);
    if (now == stage::complete || now == stage::refused) break;
  }
  return fed - (into.reader.now() == stage::complete ? into.reader.rest().size() : 0);
}

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos;
}

void check_accepted(const exchange& request) {
  require(!request.target.empty() && is_one_line(request.target));
  require(request.target.find(' ') == std::string_view::npos);
  require(request.fields.size() <= bounds.header_fields);
  require(request.body.size() <= bounds.body_bytes);
  std::size_t hosts = 0;
  for (const auto& field : request.fields) {
    require(!field.name.empty() && is_one_line(field.name) && is_one_line(field.value));
    require(field.name.find_first_of(" \t:") == std::string_view::npos);
    if (field.name.size() == 4 && request.header("host").data() == field.value.data()) ++hosts;
  }
  require(hosts <= 1);
  require(!request.has_header("content-length") || !request.has_header("transfer-encoding"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  exchange whole;
  const std::size_t taken = feed(whole, text, text.size());
  exchange cut;
  const std::size_t taken_cut = feed(cut, text, 1 + data[0] % 32U);

  require(whole.reader.now() == cut.reader.now());
  if (whole.reader.now() == stage::refused) {
    require(whole.reader.why().status == cut.reader.why().status);
    return 0;
  }
  if (whole.reader.now() != stage::complete) return 0;
  check_accepted(whole);
  require(taken == taken_cut && taken <= text.size());
  require(whole.verb == cut.verb && whole.target == cut.target && whole.body == cut.body);
  require(whole.path == cut.path && whole.query == cut.query && whole.keep_alive == cut.keep_alive);
  require(whole.fields.size() == cut.fields.size());
  for (std::size_t i = 0; i < whole.fields.size(); ++i) {
    require(whole.fields[i].name == cut.fields[i].name && whole.fields[i].value == cut.fields[i].value);
  }
  return 0;
}
