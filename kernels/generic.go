package kernels

// generic is the portable backend. Its entries define, bit by bit, what every
// other backend returns.
var generic = table{
	name: "generic",

	gemm:             gemmGeneric,
	pack:             packGeneric,
	packT:            packTGeneric,
	depthwise3:       depthwise3Generic,
	depthwise:        depthwiseGeneric,
	depthwise3Weight: depthwise3WeightGeneric,

	add:       addGeneric,
	sub:       subGeneric,
	mul:       mulGeneric,
	addScaled: addScaledGeneric,
	scale:     scaleGeneric,
	leaky:     leakyGeneric,
	leakyGrad: leakyGradGeneric,
	relu:      reluGeneric,
	round:     roundGeneric,
	clamp:     clampGeneric,
	lerp:      lerpGeneric,
	sqrt:      sqrtGeneric,
	exp:       expGeneric,
	log:       logGeneric,
	sigmoid:   sigmoidGeneric,
	tanh:      tanhGeneric,
	softplus:  softplusGeneric,
	symlog:    symlogGeneric,
	mulRows:   mulRowsGeneric,
	addRows:   addRowsGeneric,
	fmaRows:   fmaRowsGeneric,
	dotRows:   dotRowsGeneric,
	adamW:     adamWGeneric,
	normal:    normalGeneric,

	gemm8:       gemm8Generic,
	gemm16:      gemm16Generic,
	depthwise8:  depthwise8Generic,
	depthwise16: depthwise16Generic,
	quantise:    quantiseGeneric,

	dequantise:  dequantiseGeneric,
	levels:      levelsGeneric,
	sampleBytes: sampleBytesGeneric,
	opaque:      opaqueGeneric,

	sum:            sumGeneric,
	sumSquares:     sumSquaresGeneric,
	dot:            dotGeneric,
	sumSquaredDiff: sumSquaredDiffGeneric,
	maxAbs:         maxAbsGeneric,
	colSum:         colSumGeneric,
}
