import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;

/** What a tool shows through JDBC of a reader's schema: usage: Shown URL USER PASSWORD TABLE. */
final class Shown {
    public static void main(String[] arguments) throws SQLException {
        String user = arguments[1];
        try (Connection connection = DriverManager.getConnection(arguments[0], user, arguments[2])) {
            DatabaseMetaData data = connection.getMetaData();
            print("table", data.getTables(null, user, "%", new String[] {"TABLE"}), "TABLE_NAME");
            print("column", data.getColumns(null, user, arguments[3], "%"), "COLUMN_NAME");
            print("key", data.getPrimaryKeys(null, user, arguments[3]), "COLUMN_NAME");
        }
    }

    private static void print(String what, ResultSet rows, String column) throws SQLException {
        while (rows.next()) {
            System.out.println(what + " " + rows.getString(column));
        }
    }
}
