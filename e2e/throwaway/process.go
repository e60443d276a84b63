package throwaway

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a program that was started.
type process struct {
	pid  int
	done chan struct{} // closed when it is gone
	err  error         // how it ended; to be read after done
}

// launch starts a program.
func launch(command *exec.Cmd) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends the program with the thread that started it
		// (go.dev/issue/27505): the thread is kept as long as the program runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			p.err = command.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.pid = command.Process.Pid
	return p, nil
}

// signal sends a process a signal, unless it has ended.
func signal(pid int, number syscall.Signal) error {
	if err := syscall.Kill(pid, number); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
