package kernels

func dequantiseGeneric(dst []float32, k []int32, mean, scale, gain []float32) {
	k, mean, scale, gain = k[:len(dst)], mean[:len(dst)], scale[:len(dst)], gain[:len(dst)]
	for i := range dst {
		mu := float32(mean[i] * scale[i])
		dst[i] = (float32(k[i]) + mu) * gain[i]
	}
}

func levelsGeneric(dst []uint8, x []float32, shift, most int) {
	x = x[:len(dst)]
	for i := range dst {
		level := min(int32(x[i])>>(uint(shift)&31), int32(most))
		if level <= 0 {
			level = 255
		}
		dst[i] = uint8(level)
	}
}

func sampleBytesGeneric(dst []uint8, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		p := float32(float32(x[i]+0.5)*255) + 0.5
		dst[i] = uint8(int32(min32(max32(p, 0), 255)))
	}
}

func opaqueGeneric(dst, src []uint8) {
	for ; len(dst) >= 4 && len(src) >= 3; dst, src = dst[4:], src[3:] {
		dst[0], dst[1], dst[2], dst[3] = src[0], src[1], src[2], 255
	}
}
