// The layers of a network with oneDNN or OpenBLAS, for `aecodec bench layers --peer` and `aecodec bench kernels --peer`.
//
//   peer onednn|openblas
//
// It prints a line with its name. Then it answers each line of standard input,
//
//   gemm SECONDS M K N
//   conv SECONDS H W CIN COUT K        stride 1, "same" padding, with bias
//   depthwise SECONDS H W C K          stride 1, "same" padding, with bias
//
// with the processor seconds that one run takes on this thread, measured over at least SECONDS, or with "no" and the reason.
// Operands are allocated and packed when a line's work is seen for the first time.

#include <cblas.h>
#include <dnnl.hpp>
#include <time.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" char *openblas_get_config(void);
extern "C" char *openblas_get_corename(void);
extern "C" void openblas_set_num_threads(int);

using Run = std::function<void()>;

static double thread_time() {
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

// floats are numbers like those in a network; all zeros could be quicker.
static std::shared_ptr<std::vector<float>> floats(size_t n) {
	auto v = std::make_shared<std::vector<float>>(n);
	std::minstd_rand r(n + 1);
	std::normal_distribution<float> normal;
	for (auto &x : *v) x = normal(r);
	return v;
}

static Run blas_gemm(int m, int k, int n) {
	auto a = floats(size_t(m) * k), b = floats(size_t(k) * n), c = floats(size_t(m) * n);
	return [=] {
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a->data(), k, b->data(), n, 0, c->data(), n);
	};
}

static Run onednn_gemm(int m, int k, int n) {
	auto a = floats(size_t(m) * k), b = floats(size_t(k) * n), c = floats(size_t(m) * n);
	return [=] { dnnl_sgemm('N', 'N', m, n, k, 1, a->data(), k, b->data(), n, 0, c->data(), n); };
}

using namespace dnnl;

static memory filled(const memory::desc &d, const engine &e) {
	memory m(d, e);
	auto v = floats(d.get_size() / sizeof(float));
	std::copy(v->begin(), v->end(), static_cast<float *>(m.get_data_handle()));
	return m;
}

// A convolution with activations in the given layout; the library chooses that of the weights, which are packed ahead.
static Run onednn_conv(int h, int w, int cin, int cout, int groups, int k, memory::format_tag layout) {
	static engine e(engine::kind::cpu, 0);
	static stream s(e);
	using dt = memory::data_type;
	memory::dims weights = {cout, cin, k, k};
	if (groups > 1) weights = {groups, cout / groups, cin / groups, k, k};
	memory::dims pad = {(k - 1) / 2, (k - 1) / 2}, one = {1, 1};
	convolution_forward::desc d(prop_kind::forward_inference, algorithm::convolution_auto,
		memory::desc({1, cin, h, w}, dt::f32, layout), memory::desc(weights, dt::f32, memory::format_tag::any),
		memory::desc({cout}, dt::f32, memory::format_tag::x), memory::desc({1, cout, h, w}, dt::f32, layout), one, pad, pad);
	convolution_forward::primitive_desc pd(d, e);
	auto conv = std::make_shared<convolution_forward>(pd);
	std::unordered_map<int, memory> args = {
		{DNNL_ARG_SRC, filled(pd.src_desc(), e)},
		{DNNL_ARG_WEIGHTS, filled(pd.weights_desc(), e)},
		{DNNL_ARG_BIAS, filled(pd.bias_desc(), e)},
		{DNNL_ARG_DST, filled(pd.dst_desc(), e)},
	};
	return [conv, args] {
		conv->execute(s, args);
		s.wait();
	};
}

// The ways of doing one kind of work; the quickest counts.
static std::vector<Run> prepare(const std::string &library, const std::string &op, const std::vector<int> &n) {
	bool blas = library == "openblas";
	if (op == "gemm" && n.size() == 3) {
		return {blas ? blas_gemm(n[0], n[1], n[2]) : onednn_gemm(n[0], n[1], n[2])};
	}
	int h, w, cin, cout, groups, k;
	if (op == "conv" && n.size() == 5) {
		h = n[0], w = n[1], cin = n[2], cout = n[3], groups = 1, k = n[4];
	} else if (op == "depthwise" && n.size() == 4) {
		h = n[0], w = n[1], cin = cout = groups = n[2], k = n[3];
	} else {
		throw std::runtime_error("unknown work");
	}
	if (blas) {
		if (groups > 1 || k > 1) throw std::runtime_error("matrix products only");
		return {blas_gemm(h * w, cin, cout)};
	}
	return {onednn_conv(h, w, cin, cout, groups, k, memory::format_tag::nhwc),
		onednn_conv(h, w, cin, cout, groups, k, memory::format_tag::any)};
}

static double seconds_of(const Run &run, double least) {
	double start = thread_time(), spent = 0;
	int runs = 0;
	for (int batch = 1; spent < least || runs == 0; batch *= 2) {
		for (int i = 0; i < batch; i++) run();
		runs += batch;
		spent = thread_time() - start;
	}
	return spent / runs;
}

int main(int argc, char **argv) {
	std::string library = argc > 1 ? argv[1] : "";
	if (library == "onednn") {
		auto v = dnnl_version();
		std::printf("oneDNN %d.%d.%d\n", v->major, v->minor, v->patch);
	} else if (library == "openblas") {
		openblas_set_num_threads(1);
		std::string config = openblas_get_config();
		std::printf("%s\n", config.substr(0, config.find(' ', config.find(' ') + 1)).c_str());
		std::fprintf(stderr, "OpenBLAS kernels: %s\n", openblas_get_corename());
	} else {
		std::fprintf(stderr, "usage: peer onednn|openblas\n");
		return 2;
	}
	std::fflush(stdout);
	struct Work {
		std::vector<Run> ways;
		size_t best;
	};
	std::map<std::string, Work> seen;
	for (std::string line; std::getline(std::cin, line);) {
		try {
			std::istringstream in(line);
			std::string op, key;
			double least;
			in >> op >> least;
			std::vector<int> n;
			for (int v; in >> v;) n.push_back(v), key += " " + std::to_string(v);
			auto found = seen.find(op + key);
			if (found == seen.end()) {
				Work work{prepare(library, op, n), 0};
				double quickest = 0;
				for (size_t i = 0; i < work.ways.size(); i++) {
					work.ways[i]();
					double t = seconds_of(work.ways[i], least);
					if (i == 0 || t < quickest) quickest = t, work.best = i;
				}
				found = seen.emplace(op + key, std::move(work)).first;
			}
			std::printf("%.9g\n", seconds_of(found->second.ways[found->second.best], least));
		} catch (const std::exception &e) {
			std::printf("no %s\n", e.what());
		}
		std::fflush(stdout);
	}
}
