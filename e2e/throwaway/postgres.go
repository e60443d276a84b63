package throwaway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Durable is a setting for StartPostgres with which a commit waits for the disk,
// that of the folder for temporary files (TMPDIR).
const Durable = "fsync=on"

// owner is the role that owns the databases. As on a well-kept server, it may
// do nothing beyond them.
const owner = "hubbub"

// Postgres is a PostgreSQL server with data of its own.
type Postgres struct {
	*server
	password  string // of all roles
	databases atomic.Int64
}

// StartPostgres makes a new database cluster, starts a server on it, and returns
// when that is ready. Ctx is for the start only: the server runs until Close.
// Settings such as "max_connections=20" count before our own. Unless Durable is
// one of them, a commit does not wait for the disk, and the data may be in memory:
// it survives Stop all the same, and would be lost only with the whole machine.
func StartPostgres(ctx context.Context, settings ...string) (*Postgres, error) {
	binaries, err := postgresBinaries()
	if err != nil {
		return nil, err
	}
	durable := slices.Contains(settings, Durable)
	s, err := newServer("PostgreSQL", filepath.Join(binaries, "postgres"), syscall.SIGQUIT, !durable)
	if err != nil {
		return nil, err
	}
	p := &Postgres{server: s, password: rand.Text()}
	data := filepath.Join(s.folder.name, "data")
	s.args = func() []string {
		all := []string{
			"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=", "max_connections=200",
		}
		if !durable {
			// Memory that is shared as a file of ours is removed with it, however
			// the server ends.
			all = append(all, "fsync=off", "max_wal_size=256MB", "dynamic_shared_memory_type=mmap")
		}
		args := []string{"-D", data}
		for _, setting := range append(all, settings...) {
			args = append(args, "-c", setting)
		}
		return args
	}
	s.ready = func(_ context.Context, pid int) error {
		// The file says for itself which server it is of; a connection could
		// reach another's.
		file, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err != nil {
			return err
		}
		lines := strings.Split(string(file), "\n")
		if len(lines) < 8 || lines[0] != strconv.Itoa(pid) || strings.TrimSpace(lines[7]) != "ready" {
			return errors.New("it does not take connections yet")
		}
		return nil
	}
	if err := p.create(ctx, filepath.Join(binaries, "initdb"), data); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// create makes the cluster, starts it and makes the role that owns databases.
func (p *Postgres) create(ctx context.Context, initdb, data string) error {
	password := filepath.Join(p.folder.name, "password")
	if err := os.WriteFile(password, []byte(p.password), 0o600); err != nil {
		return err
	}
	if err := p.account.own(password); err != nil {
		return err
	}
	command := p.command(initdb, "-D", data, "--no-sync", "--no-instructions",
		"--username=postgres", "--pwfile="+password, "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8")
	if err := run(ctx, command); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster: %w", err)
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	return p.exec(ctx, "CREATE ROLE "+owner+" LOGIN PASSWORD '"+p.password+"'")
}

// run runs a program to its end, or kills it when ctx ends.
func run(ctx context.Context, command *exec.Cmd) error {
	var out strings.Builder
	command.Stdout, command.Stderr = &out, &out
	command.WaitDelay = stopLimit // a child of it may hold the pipe
	p, err := launch(command)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%w\n%s", p.err, out.String())
		}
		return nil
	case <-ctx.Done():
		err := signal(p.pid, syscall.SIGKILL)
		<-p.done
		return errors.Join(ctx.Err(), err)
	}
}

// NewDatabase makes an empty database and returns its URL, such as
// "postgres://hubbub:secret@127.0.0.1:10001/db1?sslmode=disable". The URL holds
// as long as the server is not closed.
func (p *Postgres) NewDatabase(ctx context.Context) (string, error) {
	name := "db" + strconv.FormatInt(p.databases.Add(1), 10)
	if err := p.exec(ctx, "CREATE DATABASE "+name+" OWNER "+owner); err != nil {
		return "", err
	}
	return p.url(owner, name), nil
}

func (p *Postgres) url(role, database string) string {
	return "postgres://" + role + ":" + p.password + "@" + p.addr() + "/" + database + "?sslmode=disable"
}

// exec runs a statement as the superuser.
func (p *Postgres) exec(ctx context.Context, statement string) (err error) {
	connection, err := pgx.Connect(ctx, p.url("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close(ctx)) }()
	_, err = connection.Exec(ctx, statement)
	return err
}

// postgresBinaries returns the folder of PostgreSQL's programs.
func postgresBinaries() (string, error) {
	whole := func(dir string) bool {
		for _, name := range []string{"initdb", "postgres"} {
			if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
				return false
			}
		}
		return true
	}
	if dir := os.Getenv("HUBBUB_POSTGRES"); dir != "" {
		if !whole(dir) {
			return "", fmt.Errorf("HUBBUB_POSTGRES is %q, where initdb and postgres are not", dir)
		}
		return filepath.Abs(dir)
	}
	if file, err := exec.LookPath("postgres"); err == nil && whole(filepath.Dir(file)) {
		return filepath.Abs(filepath.Dir(file))
	}
	newest, found := -1, ""
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's, one folder a version
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && whole(dir) {
			newest, found = version, dir
		}
	}
	if found == "" {
		return "", errors.New("tests of several nodes need PostgreSQL: run \"apt-get install postgresql\" as root, or set HUBBUB_POSTGRES to the folder of initdb and postgres")
	}
	return found, nil
}
