package throwaway

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// NATS is a NATS server. It keeps nothing.
type NATS struct{ *server }

// StartNATS starts a server and returns when it is ready. Ctx is for the start
// only: the server runs until Close.
func StartNATS(ctx context.Context) (*NATS, error) {
	binary, err := natsBinary()
	if err != nil {
		return nil, err
	}
	s, err := newServer("NATS", binary, syscall.SIGKILL, false)
	if err != nil {
		return nil, err
	}
	name := rand.Text()
	s.args = func() []string {
		return []string{"--addr", "127.0.0.1", "--port", strconv.Itoa(s.port), "--name", name}
	}
	s.ready = func(ctx context.Context, _ int) error { return natsAnswers(ctx, s.addr(), name) }
	n := &NATS{s}
	if err := n.Start(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// URL is where the server is, such as "nats://127.0.0.1:10001".
func (n *NATS) URL() string { return "nats://" + n.addr() }

// natsAnswers returns nil if the server of that name listens at addr: it greets
// whoever connects with what it is.
func natsAnswers(ctx context.Context, addr, name string) error {
	connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	info, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.Contains(info, name) {
		return errors.New("another server listens at " + addr)
	}
	return nil
}

// natsBinary returns the file of the server.
func natsBinary() (string, error) {
	if file := os.Getenv("HUBBUB_NATS_SERVER"); file != "" {
		if _, err := exec.LookPath(file); err != nil {
			return "", fmt.Errorf("HUBBUB_NATS_SERVER: %w", err)
		}
		return filepath.Abs(file)
	}
	// Debian's stands where only root's PATH may lead.
	for _, name := range []string{"nats-server", "/usr/sbin/nats-server"} {
		if file, err := exec.LookPath(name); err == nil {
			return filepath.Abs(file)
		}
	}
	return "", errors.New("tests of several nodes need NATS: run \"apt-get install nats-server\" as root, or set HUBBUB_NATS_SERVER to its path")
}
