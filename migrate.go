package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"hubbub/store/move"
)

// progressPause is how long at least lies between two lines on one table.
const progressPause = 500 * time.Millisecond

// migrateFlags are those of the command migrate.
type migrateFlags struct {
	To   string `variable:"HUBBUB_DATABASE" placeholder:"URL" help:"Empty PostgreSQL database to move everything to, such as postgres://hubbub@db/hubbub."`
	Data string `default:"./data" placeholder:"DIR" help:"Directory that everything was kept in. It is left as it is."`
	Help bool   `short:"h" help:"Show this help and stop."`
}

// migrate moves a data directory to PostgreSQL and tells stdout how far it is,
// in lines.
func migrate(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	var f migrateFlags
	parsed, err := parse(&f, "hubbub migrate", "Moves the users, sessions, channels and messages in a data directory to PostgreSQL, whole or not at all. "+
		"Stop the Hubbub that runs on it first.", args, getenv, stdout)
	if err != nil {
		return err
	}
	if f.Help {
		return parsed.PrintUsage(false)
	}
	if f.To == "" {
		return errors.New("--to: no database is given, such as postgres://user@host/database")
	}
	if err := checkDatabase(f.To); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if err := checkData(f.Data); err != nil {
		return fmt.Errorf("--data: %w", err)
	}

	began, told, moved := time.Now(), time.Time{}, int64(0)
	err = move.Move(ctx, f.Data, f.To, func(p move.Progress) {
		last := p.Done == p.Total
		if !last && time.Since(told) < progressPause {
			return
		}
		told = time.Now()
		step := "copied"
		if p.Compared {
			step = "compared"
		}
		if p.Compared && last {
			moved += p.Total
		}
		fmt.Fprintf(stdout, "%s: %s of %s %s\n", p.Table, thousands(p.Done), thousands(p.Total), step)
	})
	if errors.Is(err, context.Canceled) {
		return errors.New("stopped; nothing was moved")
	}
	if err != nil {
		return fmt.Errorf("moving %s: %w", f.Data, err)
	}
	_, err = fmt.Fprintf(stdout, "Moved %s rows in %v and compared each with what it was. %s is left as it was.\n"+
		"Start Hubbub with --database, or HUBBUB_DATABASE, and the same URL.\n",
		thousands(moved), time.Since(began).Round(100*time.Millisecond), f.Data)
	return err
}

// thousands writes a number with a comma after each thousand.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
