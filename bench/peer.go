package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// peer is another program that does the same work with another library, one
// piece at a time, for comparisons in turns: bench/peers/layers says how to talk
// to it. It is started as COMMAND BACKEND, and keeps to the instruction set of
// that backend.
type peer struct {
	name string
	cmd  *exec.Cmd
	to   io.WriteCloser
	from *bufio.Scanner
}

// startPeer starts a program, which greets with its name.
func startPeer(ctx context.Context, command, backend string) (*peer, error) {
	p := &peer{cmd: exec.CommandContext(ctx, command, backend)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.to, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	p.from = bufio.NewScanner(out)
	if p.name, err = p.line(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *peer) line() (string, error) {
	if p.from.Scan() {
		return p.from.Text(), nil
	}
	return "", fmt.Errorf("peer: %s ended without an answer", p.cmd.Path)
}

func (p *peer) close() {
	p.to.Close()
	_ = p.cmd.Wait() // what it had to say, it has said
}

// time lets the peer do a kind of work for at least d, and returns the seconds
// of one run. ok is false where the peer cannot do it.
func (p *peer) time(request string, d time.Duration) (seconds float64, ok bool, err error) {
	op, sizes, _ := strings.Cut(request, " ")
	if _, err := fmt.Fprintf(p.to, "%s %g %s\n", op, d.Seconds(), sizes); err != nil {
		return 0, false, fmt.Errorf("peer: %s: %w", p.name, err)
	}
	answer, err := p.line()
	if err != nil {
		return 0, false, err
	}
	if strings.HasPrefix(answer, "no") {
		return 0, false, nil
	}
	if seconds, err = strconv.ParseFloat(answer, 64); err != nil || !(seconds > 0) {
		return 0, false, fmt.Errorf("peer: %s: answer %q is no time", p.name, answer)
	}
	return seconds, true, nil
}

// PeerTiming is the same work done by another library.
type PeerTiming struct {
	Peer    string `json:"peer"`
	Seconds Spread `json:"seconds"`
	Ratio   Spread `json:"ratio"` // its time by ours, above 1 where aecodec is faster: median of the rounds, and of the best times
}

// comparison collects the times of one peer at one piece of work.
type comparison struct {
	peer    *peer
	seconds []float64
	unable  bool
}

func (c *comparison) time(request string, d time.Duration, warmup bool) error {
	if c.unable {
		return nil
	}
	s, ok, err := c.peer.time(request, d)
	c.unable = !ok
	if ok && !warmup {
		c.seconds = append(c.seconds, s)
	}
	return err
}

func (c *comparison) timing(ours []float64) PeerTiming {
	t := PeerTiming{Peer: c.peer.name, Seconds: timeSpread(c.seconds)}
	ratios := make([]float64, len(c.seconds))
	for i, s := range c.seconds {
		ratios[i] = s / ours[i]
	}
	t.Ratio = Spread{median(ratios), t.Seconds.Best / timeSpread(ours).Best}
	return t
}
