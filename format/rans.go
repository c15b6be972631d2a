package format

// The symbol coder is rANS (Duda, arXiv:1311.2540), its lanes interleaved into
// one stream as in Giesen, arXiv:1402.3392. States live in [2^31, 2^63) and
// move 32 bits at a time: with 16-bit probabilities a 32-bit state that moves
// 16 bits wastes 0.05 to 0.19 % of the rate, this one less than 0.001 %.
//
// What is new here serves small streams, which is what a learned codec writes
// at low rates. SPEC.md has the details; in short:
//
//   - The last symbols of a stream are coded in one lane whose state starts at
//     0, not at 2^31, so that a stream without information has no bytes.
//   - The first three words that this lane sheds do not go into the stream:
//     they become the initial states of the other lanes (the fork; the decoder
//     sees a join). A lane more therefore does not cost its initial state.
//   - At the head of the stream the other lanes' states are themselves coded in
//     lane 0, which costs 5 bits a lane, and lane 0 sheds its zero bytes.
const (
	stateBits = 31 // log2 of the lower bound of a state
	wordBits  = 32
	wordBytes = wordBits / 8

	stateMin = 1 << stateBits
	stateEnd = 1 << (stateBits + wordBits) // states are below

	lanes = 4

	// Below this number of coded symbols there is one lane from end to end:
	// there the three others would cost more (2 bytes) than they are worth.
	minInterleaved = 16384

	// A stream that could fork and did not has at most 3 words and an 8-byte
	// state; one that did has more: 31 bits of state at the fork and at least 36
	// for each other lane make 3 words and 6 bytes, beside the word of the fork.
	maxUnforked = (lanes-1)*wordBytes + 8

	// The excess of an escaped symbol is at most 2*MaxSymbol.
	maxExcessBits = 26
)

// stateBytes returns how many of the n bytes of a stream are its initial state;
// the rest are words.
func stateBytes(n int) int {
	if n <= 8 {
		return n
	}
	return 5 + (n-5)%wordBytes
}

// coded counts the positions at which something is coded; it stops at enough.
func coded(index []uint8, enough int) int {
	n := 0
	for i := 0; i < len(index) && n < enough; i++ {
		if index[i] != Skip {
			n++
		}
	}
	return n
}
