#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"

namespace pam::bench {

namespace {

constexpr std::array<std::size_t, 8> batches{1, 2, 4, 8, 16, 32, 64, 128};
constexpr std::array<std::size_t, 4> connections{1, 2, 4, 8};
constexpr std::array<const char*, 4> colours{"#1b6ca8", "#c8553d", "#3a7d44", "#7d5ba6"};

struct cell {
  double rate = 0;
  double p99_ms = 0;
};
using curve = std::array<std::array<cell, batches.size()>, connections.size()>;

void write_csv(const std::string& file, const curve& all) {
  std::ofstream out{file};
  out << "connections,batch,refreshes_per_second,p99_ms\n";
  for (std::size_t c = 0; c < connections.size(); ++c) {
    for (std::size_t b = 0; b < batches.size(); ++b) {
      out << fmt::format("{},{},{:.0f},{:.2f}\n", connections[c], batches[b], all[c][b].rate,
                         all[c][b].p99_ms);
    }
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

// One line a number of connections; batch sizes on a logarithmic axis.
std::string svg_of(const curve& all) {
  constexpr double left = 70, top = 20, width = 520, height = 280;
  double most = 0;
  for (const auto& line : all) {
    for (const cell& one : line) most = std::max(most, one.rate);
  }
  const double step = std::pow(10, std::floor(std::log10(most)));
  const double limit = std::ceil(most / step) * step;
  const auto x_of = [](std::size_t b) {
    return left + width * static_cast<double>(b) / (batches.size() - 1);
  };
  const auto y_of = [limit](double rate) { return top + height * (1 - rate / limit); };
  std::ostringstream out;
  out << R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 350" font-family="sans-serif" font-size="12">)"
      << "\n";
  for (int mark = 0; mark * step <= limit; ++mark) {
    const double y = y_of(mark * step);
    out << fmt::format(
        "<path d=\"M{} {:.0f}h{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.0f}\" "
        "text-anchor=\"end\">{:.0f}</text>\n",
        left, y, width, left - 6, y + 4, mark * step);
  }
  for (std::size_t b = 0; b < batches.size(); ++b) {
    out << fmt::format("<text x=\"{:.0f}\" y=\"318\" text-anchor=\"middle\">{}</text>\n", x_of(b),
                       batches[b]);
  }
  out << "<text x=\"330\" y=\"340\" text-anchor=\"middle\">statements a Sync at most</text>\n";
  for (std::size_t c = 0; c < connections.size(); ++c) {
    std::string points;
    for (std::size_t b = 0; b < batches.size(); ++b) {
      points += fmt::format("{:.1f},{:.1f} ", x_of(b), y_of(all[c][b].rate));
    }
    out << fmt::format(
        "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"{0}\" points=\"{1}\"/>"
        "<text x=\"600\" y=\"{2}\" fill=\"{0}\">{3} connection{4}</text>\n",
        colours[c], points, 40 + 18 * c, connections[c], connections[c] == 1 ? "" : "s");
  }
  out << "</svg>\n";
  return out.str();
}

}  // namespace

void measure_curve(const plan& how, report& into) {
  const hot_statement refresh = refresh_statement();
  curve all;
  for (std::size_t c = 0; c < connections.size(); ++c) {
    for (std::size_t b = 0; b < batches.size(); ++b) {
      plan one = how;
      one.pipelines = connections[c];
      one.batch = batches[b];
      const load what{one, routes[0], refresh, std::chrono::seconds{how.seconds}, false};
      // Enough for every batch under way and half as many again waiting.
      const std::size_t callers = one.pipelines * one.batches_in_flight * one.batch * 3 / 2 + 1;
      const our_sample got = closed_loop(what, callers);
      all[c][b] = {got.rate, got.percentile_ms(0.99)};
      finding found;
      found.name = fmt::format("curve/{}x{}", connections[c], batches[b]);
      found.ours = got.rate;
      found.unit = "refreshes/s";
      found.note = fmt::format("p99 {:.1f} ms, {:.0f} us of PostgreSQL, {:.1f} us of the client each",
                               all[c][b].p99_ms, got.postgres_cpu_us, got.own_cpu_us);
      found.samples = got.json();
      into.add(found);
    }
  }
  write_csv(how.folder + "/db_curve.csv", all);
  const std::string picture = svg_of(all);
  std::ofstream out{how.folder + "/db_curve.svg"};
  if (!(out << picture).flush()) throw std::runtime_error("cannot write " + how.folder + "/db_curve.svg");
  into.add_picture(fmt::format("Refreshes a second by batch size and connections, {} sessions", how.sessions),
                   picture);
}

}  // namespace pam::bench
