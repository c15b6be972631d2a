package record_test

import (
	"bytes"
	"fmt"
	"log"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
)

// averages is a model by hand: the latent of eight samples is the means of their
// halves. Models that are any good come from training.
func averages() (*record.Model, error) {
	encoder := &nn.Network{
		Name: record.EncoderName, Inputs: []nn.Port{{Name: "x", C: 1}}, Outputs: []string{"mean"},
		Layers: []nn.Layer{{Name: "mean", Op: nn.OpDense, Out: 2, NoBias: true}},
	}
	decoder := &nn.Network{
		Name: record.DecoderName, Inputs: []nn.Port{{Name: "y", C: 2}}, Outputs: []string{"record"},
		Layers: []nn.Layer{
			{Name: "repeat", Op: nn.OpDense, Out: 8, NoBias: true},
			{Name: "record", Op: nn.OpReshape, Shape: []int{1, 8, 1}},
		},
	}
	mean, repeat := nn.NewParam("encoder.mean.weight", 8, 2), nn.NewParam("decoder.repeat.weight", 2, 8)
	for i := range 8 {
		mean.Data[2*i+i/4], repeat.Data[8*(i/4)+i] = 0.25, 1
	}
	return record.NewModel(&record.Spec{
		Recipe: "averages", Kind: record.Float32, Shape: []int{8}, Encoder: encoder, Decoder: decoder,
		Params:  nn.Params{mean.Name: mean, repeat.Name: repeat},
		Steps:   []float32{0.1, 0.1},
		Latents: []float32{-1, -1, 1, 1},
		Card:    record.Card{Name: "averages"},
	})
}

func Example() {
	model, err := averages()
	if err != nil {
		log.Fatal(err)
	}
	set := record.NewSet(record.Float32, 100, 8)
	for i := range set.Data {
		set.Data[i] = float32(i%16) / 16
	}
	var file bytes.Buffer
	err = record.Encode(&file, set, &record.Options{Model: model, Bounded: true, MaxError: 0.01})
	if err != nil {
		log.Fatal(err)
	}
	back, err := record.Decode(&file, &record.DecodeOptions{Models: []*record.Model{model}})
	if err != nil {
		log.Fatal(err)
	}
	worst := 0.
	for i, v := range set.Data {
		worst = max(worst, math.Abs(float64(v)-float64(back.Data[i])))
	}
	fmt.Println(back.N, "records of", back.Shape, "within the bound:", worst <= 0.01)
	// Output: 100 records of [8] within the bound: true
}
