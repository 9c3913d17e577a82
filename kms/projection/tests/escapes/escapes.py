"""Runs the attempts through psycopg: usage: escapes.py FILE CONNINFO. For each statement a line: what came of it."""
import sys

import psycopg


def cell(value):
    return "" if value is None else str(value)


def outcome(cursor, statement):
    try:
        if statement.startswith("COPY "):
            with cursor.copy(statement) as copy:
                return "ok " + str(sum(len(block) for block in copy))
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        return "ok " + ";".join("|".join(map(cell, row)) for row in rows)
    except psycopg.Error as error:
        return (error.sqlstate or "lost") + " " + str(error)


def main():
    connection = None
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("-- # "):
                if connection is not None:
                    connection.close()
                connection = psycopg.connect(sys.argv[2], autocommit=True)
                cursor = connection.cursor()
            elif "\t" in line:
                print(outcome(cursor, line.split("\t", 1)[1]).replace("\n", " "), flush=True)


main()
