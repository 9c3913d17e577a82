import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** Runs the attempts through JDBC: usage: Escapes FILE URL USER PASSWORD. For each statement a line: what came of it. */
final class Escapes {
    public static void main(String[] arguments) throws Exception {
        Connection connection = null;
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            if (line.startsWith("-- # ")) {
                if (connection != null) {
                    connection.close();
                }
                connection = DriverManager.getConnection(arguments[1], arguments[2], arguments[3]);
            } else if (line.contains("\t")) {
                String outcome = outcome(connection, line.substring(line.indexOf('\t') + 1));
                System.out.println(outcome.replace('\n', ' '));
            }
        }
    }

    private static String outcome(Connection connection, String text) {
        try (Statement statement = connection.createStatement()) {
            statement.setEscapeProcessing(false);
            StringBuilder rows = new StringBuilder("ok ");
            if (statement.execute(text)) {
                ResultSet result = statement.getResultSet();
                int columns = result.getMetaData().getColumnCount();
                for (boolean first = true; result.next(); first = false) {
                    rows.append(first ? "" : ";");
                    for (int column = 1; column <= columns; column++) {
                        String value = result.getString(column);
                        rows.append(column == 1 ? "" : "|").append(value == null ? "" : value);
                    }
                }
            }
            return rows.toString();
        } catch (SQLException error) {
            return (error.getSQLState() == null ? "lost" : error.getSQLState()) + " " + error.getMessage();
        }
    }
}
