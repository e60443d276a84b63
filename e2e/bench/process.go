package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long a server may take to stop.
const stopLimit = 20 * time.Second

// process is a running server: the one under measurement or a floor.
type process struct {
	host    string // "127.0.0.1:20001"
	started time.Time
	command *exec.Cmd
	log     string // file of what it writes to standard error
	network int    // see networkThread
}

// hubbub starts the server on a data folder.
func (b *bench) hubbub(ctx context.Context, data string) (*process, error) {
	return b.node(ctx, data+".log", "--data="+data)
}

// node starts the server with flags that say where its store is.
func (b *bench) node(ctx context.Context, log string, flags ...string) (*process, error) {
	return b.launch(ctx, log, b.binary, append(flags, "--addr=127.0.0.1:0", "--timezone=UTC", "--post-rate=0", "--login-rate=0")...)
}

// floor starts a floor, which is this program again.
func (b *bench) floor(ctx context.Context, name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.launch(ctx, filepath.Join(b.dir, name+".log"), self, name)
}

// launch starts a server on the core for servers, and returns when it listens.
func (b *bench) launch(ctx context.Context, log, file string, args ...string) (*process, error) {
	stderr, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	p := &process{command: exec.CommandContext(ctx, file, args...), log: log, network: b.network, started: time.Now()}
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = stopLimit
	p.command.Stderr = stderr
	p.command.Env = []string{"GOMAXPROCS=1"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HUBBUB_") && !strings.HasPrefix(v, "GOMAXPROCS=") {
			p.command.Env = append(p.command.Env, v)
		}
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := onCore(b.server, p.command.Start); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, address, found := strings.Cut(strings.TrimSpace(line), " is at http://")
	if err != nil || !found {
		return nil, errors.Join(fmt.Errorf("%s did not start: it said %q", filepath.Base(file), line), p.stop())
	}
	p.host = strings.TrimSuffix(address, "/")
	return p, nil
}

// stop ends the server in good order.
func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(stopLimit, func() { _ = p.command.Process.Kill() })
	defer late.Stop()
	if err := p.command.Wait(); err != nil {
		log, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s ended badly: %w\n%s", filepath.Base(p.command.Path), err, log[max(0, len(log)-2000):])
	}
	return nil
}

// cpu is the CPU time that the server has used, and the kernel for delivering
// what it wrote, since some moment.
func (p *process) cpu() (time.Duration, error) {
	used, err := cpuTime(p.command.Process.Pid)
	if err != nil || p.network == 0 {
		return used, err
	}
	delivering, err := cpuTime(p.network)
	return used + delivering, err
}

// memory is the server's resident memory in bytes.
func (p *process) memory() (float64, error) { return residentMemory(p.command.Process.Pid) }

// share puts the generator on the servers' core, for what measures cost.
func (b *bench) share() error { return b.moveTo(b.server) }

// part puts the generator on a core of its own, for what measures time.
func (b *bench) part() error { return b.moveTo(b.generator) }

func (b *bench) moveTo(core int) error {
	if core < 0 {
		return nil
	}
	return pin(core)
}
